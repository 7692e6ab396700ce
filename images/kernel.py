"""The kernel as it runs, taken out of the self-extracting image that distributions ship."""

from __future__ import annotations

import struct
from pathlib import Path

from harness.errors import Unusable
from harness.process import run

# where they stand in the image: Documentation/arch/x86/boot.rst (setup_sects, header, payload_offset, payload_length)
_SETUP_SECTORS, _HEADER, _PAYLOAD = 0x1F1, 0x202, 0x248
_SECTOR = 512
_SIZE_APPENDED = 4  # behind what is compressed stands its length (the kernel's scripts/Makefile.lib, size_append)
_DECOMPRESS = {
    b"\x02\x21\x4c\x18": "lz4 -dc",
    b"\x28\xb5\x2f\xfd": "zstd -dc",
    b"\xfd7zX": "xz -dc",
    b"\x1f\x8b\x08\x00": "gzip -dc",
}


def uncompressed(image: Path, out: Path) -> None:
    """Write the ELF file that is in the bzImage `image` to `out`: it starts by PVH, and TCG need not unpack it first.

    Raises Unusable if `image` is no bzImage or is compressed in a way that is not known.
    """
    data = image.read_bytes()
    if data[_HEADER : _HEADER + 4] != b"HdrS":
        raise Unusable(f"{image.name} is no bzImage")
    start = ((data[_SETUP_SECTORS] or 4) + 1) * _SECTOR
    offset, length = struct.unpack_from("<II", data, _PAYLOAD)
    payload = data[start + offset : start + offset + length]
    program = _DECOMPRESS.get(payload[:4])
    if program is None:
        raise Unusable(f"{image.name} is compressed in an unknown way: it begins with {payload[:4].hex(' ')}")
    packed = out.with_name("payload")
    packed.write_bytes(payload[:-_SIZE_APPENDED])
    run(["sh", "-c", f'{program} <"$1" >"$2"', "sh", str(packed), str(out)], timeout=60).check()
    packed.unlink()
