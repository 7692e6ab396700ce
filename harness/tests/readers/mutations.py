"""What a hostile or broken image may look like: real images, and changes to their metadata."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.tests.oracle.tools import create, qemu_img, qemu_io

Files = dict[str, bytearray]
"""The files of a chain by name; `image.qcow2` is its active layer."""

ACTIVE = "image.qcow2"
_OFFSET = 0x00FF_FFFF_FFFF_FE00
_HEADER = {  # byte and width of each field that leads somewhere, or says how much there is (docs/interop/qcow2.rst)
    **{"version": (4, 4), "backing offset": (8, 8), "backing length": (16, 4), "cluster bits": (20, 4)},
    **{"size": (24, 8), "encryption": (32, 4), "L1 entries": (36, 4), "L1 offset": (40, 8)},
    **{"refcount offset": (48, 8), "refcount clusters": (56, 4), "snapshots": (60, 4), "snapshot offset": (64, 8)},
    **{"incompatible": (72, 8), "compatible": (80, 8), "autoclear": (88, 8), "refcount order": (96, 4)},
    **{"header length": (100, 4), "compression": (104, 1)},
}
_NAMES = (
    *(ACTIVE, "base.qcow2", "base.raw", "nothing", ".", "..", "fifo", "outward", "below", "/dev/zero", "../outside"),
    *("/etc/passwd", "/proc/self/mem", "/proc/self/fd/0", "nbd://localhost/x", "json:{}", "file:base.qcow2", "fat:/"),
    *("x" * 300, "x/" * 500, "a\0b", "\udcff", ""),
)


@dataclass(frozen=True)
class Variant:
    """A chain as QEMU makes it: the options of its images, and what of its kind is in it."""

    options: tuple[str, ...] = ()
    compressed: bool = False
    data_file: bool = False
    raw_base: bool = False

    def make(self, directory: Path, seen_as: PurePosixPath | None = None) -> Files:
        """Make it in an empty directory, read it, and leave the directory empty.

        `seen_as` is what the directory is called where the image will be read.
        """
        if self.raw_base:
            (directory / "base.raw").write_bytes(b"R" * 100_000 + bytes(100_000))
        else:
            create(directory / "base.qcow2", "256k", *self.options)
            qemu_io(directory / "base.qcow2", "write -P 65 0 200k")
        below = ("base.raw", "raw") if self.raw_base else ("base.qcow2", "qcow2")
        data = (f"data_file={directory}/image.data",) if self.data_file else ()
        create(directory / ACTIVE, "256k", *self.options, *data)
        if not self.data_file:
            qemu_img("rebase", "-u", "-b", below[0], "-F", below[1], directory / ACTIVE)
        zero = () if "compat=0.10" in self.options else ("write -z 192k 16k",)
        qemu_io(directory / ACTIVE, "write -P 66 0 3k", "write -P 67 60k 40k", *zero)
        if self.compressed:
            qemu_io(directory / ACTIVE, "write -c -P 68 128k 64k")
        if self.data_file and seen_as is not None:
            qemu_img("amend", "-f", "qcow2", "-o", f"data_file={seen_as}/image.data", directory / ACTIVE)
        files = {path.name: bytearray(path.read_bytes()) for path in directory.iterdir()}
        for name in files:
            (directory / name).unlink()
        return files


VARIANTS = {
    "default": Variant(),
    "512-byte clusters": Variant(("cluster_size=512",)),
    "2M clusters": Variant(("cluster_size=2M",)),
    "extended L2": Variant(("extended_l2=on",)),
    "version 2": Variant(("compat=0.10",)),
    "compressed": Variant(compressed=True),
    "zstd": Variant(("compression_type=zstd",), compressed=True),
    "data file": Variant(data_file=True),
    "raw base": Variant(raw_base=True),
    "many refcounts": Variant(("cluster_size=512", "refcount_bits=64")),
}


def _edge(chance: random.Random, width: int, like: int = 0) -> int:
    """A number of `width` bytes that is likely to be off: small, huge, a power of two, or near what was there."""
    top = (1 << 8 * width) - 1
    kinds = (
        lambda: chance.randrange(0, 70),
        lambda: top - chance.randrange(3),
        lambda: (1 << chance.randrange(8 * width)) + chance.choice((-1, 0, 0, 1)),
        lambda: like + chance.choice((-65536, -512, -8, -1, 1, 8, 512, 65536)),
        lambda: like ^ 1 << chance.randrange(8 * width),
        lambda: chance.randrange(64) << 9,
        lambda: chance.randrange(64) << 16,
    )
    return chance.choice(kinds)() & top


def _set(data: bytearray, at: int, width: int, value: int) -> None:
    if at + width <= len(data):
        data[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "big")


def _get(data: bytearray, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "big")


def header_field(data: bytearray, chance: random.Random) -> None:
    """One field."""
    at, width = chance.choice(list(_HEADER.values()))
    _set(data, at, width, _edge(chance, width, _get(data, at, width)))


def geometry(data: bytearray, chance: random.Random) -> None:
    """Clusters of another size, or a disk of another, with as many L1 entries as it takes or not."""
    bits = chance.choice((8, 9, 10, 12, 14, 16, 20, 21, 22, 31))
    if chance.random() < 0.5:
        _set(data, 20, 4, bits)
    size = chance.choice((0, 1, 511, 513, 262_143, 1 << 20, 31 << 20, 1 << 30, 1 << 40, 1 << 46, (1 << 63) - 1))
    _set(data, 24, 8, size)
    if chance.random() < 0.5:
        _set(data, 36, 4, chance.choice((1, 16, 4096, 1 << 17, 1 << 22, 1 << 31)))


def l1_entry(data: bytearray, chance: random.Random) -> None:
    """An L1 entry, to anywhere: to itself, to the header, to another's L2 table."""
    table = _get(data, 40, 8)
    at = table + 8 * chance.randrange(4)
    value = chance.choice((0, table, table + 65536, _get(data, table, 8), 1 << 16, 1 << 62, _edge(chance, 8, table)))
    _set(data, at, 8, value | chance.choice((0, 1 << 63)))


def l2_entry(data: bytearray, chance: random.Random) -> None:
    """Entries of an L2 table: data anywhere, in the L2 table itself, twice; zeros; compressed, of any length."""
    table = _get(data, _get(data, 40, 8), 8) & _OFFSET
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        at = table + 8 * chance.randrange(chance.choice((8, 64, 512)))
        first = _get(data, table, 8)
        value = chance.choice(
            (
                *(0, 1, table, table | 1 << 63, first, first | 1, first + 512, chance.getrandbits(64)),
                *(1 << 62 | chance.getrandbits(62), 1 << 62 | first & _OFFSET, 1 << 62 | (first & _OFFSET) + 77),
                *(1 << 62 | 0xFF << 54 | chance.randrange(len(data) + 1), _edge(chance, 8, first)),
            )
        )
        _set(data, at, 8, value)


def refcounts(data: bytearray, chance: random.Random) -> None:
    """The refcount table and the first block."""
    table = _get(data, 48, 8)
    block = _get(data, table, 8)
    for _ in range(4):
        _set(data, chance.choice((table, block)) + 8 * chance.randrange(8), 8, _edge(chance, 8, block))


def extension(data: bytearray, chance: random.Random) -> None:
    """A header extension of a known type or any, of any length."""
    at = chance.choice((72, 104, 112, _get(data, 100, 4), 112 + 8 * chance.randrange(20)))
    kinds = (0, 0xE2792ACA, 0x6803F857, 0x23852875, 0x0537BE77, 0x44415441, chance.getrandbits(32))
    _set(data, at, 4, chance.choice(kinds))
    _set(data, at + 4, 4, _edge(chance, 4, _get(data, at + 4, 4)))


def backing_name(data: bytearray, chance: random.Random) -> None:
    """Another backing file: itself, the other, none, a device, a FIFO, a link that leads out, no text."""
    name = chance.choice(_NAMES).encode(errors="surrogateescape")
    at = _get(data, 8, 8) or 512
    if at + len(name) <= len(data):
        data[at : at + len(name)] = name
    _set(data, 8, 8, at)
    _set(data, 16, 4, len(name))
    if chance.random() < 0.5 and (form := data.find(struct.pack(">I", 0xE2792ACA), 0, 512)) >= 0:
        data[form + 4 : form + 16] = chance.choice(
            (b"\0\0\0\3raw\0\0\0\0\0", b"\0\0\0\5qcow2\0\0\0", b"\0\0\0\4vmdk\0\0\0\0", b"\0\0\0\0\0\0\0\0\0\0\0\0")
        )


def length(data: bytearray, chance: random.Random) -> None:
    """The file is cut off, or has grown."""
    if chance.random() < 0.7:
        del data[chance.choice((0, 1, 71, 104, 512, chance.randrange(len(data) + 1), (len(data) - 1) & ~0xFFFF)) :]
    else:
        data.extend(bytes(chance.choice((1, 511, 65536))))


def some_bytes(data: bytearray, chance: random.Random) -> None:
    """Anything, near the start or anywhere."""
    for _ in range(chance.choice((1, 4, 32))):
        if data:
            data[chance.randrange(chance.choice((min(len(data), 600), len(data))))] = chance.randrange(256)


MUTATORS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(header_field, geometry, l1_entry, l2_entry, l2_entry, refcounts, extension, backing_name, length, some_bytes),
)


def mutated(files: Files, chance: random.Random) -> tuple[Files, list[str]]:
    """A copy with one to three changes, and what they are."""
    changed = {name: bytearray(data) for name, data in files.items()}
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        name = chance.choice([ACTIVE, ACTIVE, *(name for name in changed if name.endswith(".qcow2"))])
        mutate = chance.choice(MUTATORS)
        mutate(changed[name], chance)
        done.append(f"{mutate.__name__} of {name}")
    return changed, done
