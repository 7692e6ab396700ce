"""The dirty bitmaps in a qcow2 image, read without any code of QEMU's: docs/interop/qcow2.rst, "Bitmaps extension"."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.errors import ImageError
from harness.readers.extents import OpenFile
from harness.readers.qcow2_header import Header

ENTRY = struct.Struct(">QIIBBHI")
"""An entry of the directory of bitmaps, before what is more in it and its name."""
_IN_USE, _AUTO = 1, 2
_OFFSET = 0x00FF_FFFF_FFFF_FE00
_ALL_ONES = 1
_MOST_BYTES = 16 << 20  # of the bits of all bitmaps: those of 8 TiB in granules of 64 KiB


@dataclass(frozen=True)
class StoredBitmap:
    """One bitmap as it is in the file: its `granularity` in bytes, and the numbers of the `dirty` granules.

    `in_use`: whoever opened it last has not closed it, so that it says nothing. `auto`: it records what is written.
    """

    granularity: int
    dirty: frozenset[int]
    in_use: bool
    auto: bool


def stored_bitmaps(file: OpenFile, header: Header) -> Mapping[str, StoredBitmap]:
    """The bitmaps in an image, by their names. Raises ImageError for what cannot be, or is too much to be read."""
    found: dict[str, StoredBitmap] = {}
    table = header.own.bitmaps
    at, end = table.offset, table.offset + header.own.bitmap_bytes
    for number in range(table.count):
        what = f"bitmap {number}"
        if at + ENTRY.size > end:
            raise ImageError(file.image, f"has a directory of bitmaps that ends before {what}")
        fields = ENTRY.unpack(file.read(at, ENTRY.size, what))
        offset, entries, flags, _, bits, name_length, more = fields
        name = file.read(at + ENTRY.size + more, name_length, what).decode(errors="replace")
        dirty = frozenset(_set_bits(file, header, offset, entries, what))
        found[name] = StoredBitmap(1 << bits, dirty, bool(flags & _IN_USE), bool(flags & _AUTO))
        at += -(-(ENTRY.size + more + name_length) // 8) * 8
    return found


def _set_bits(file: OpenFile, header: Header, offset: int, entries: int, what: str) -> Iterator[int]:
    """The numbers of the bits that are set: each entry of the table is for a cluster of bits, the lowest first."""
    size = header.cluster_size
    if entries * size > _MOST_BYTES:
        raise ImageError(file.image, f"{what} has {entries} clusters of bits: too many to be read")
    for number in range(entries):
        entry = int.from_bytes(file.read(offset + number * 8, 8, what))
        if entry & _OFFSET:
            bits = file.read(entry & _OFFSET, size, what)
        else:
            bits = b"\xff" * size if entry & _ALL_ONES else b""
        for at, byte in enumerate(bits):
            yield from ((number * size + at) * 8 + bit for bit in range(8) if byte >> bit & 1) if byte else ()
