"""The snapshots inside a qcow2 image, read with no code of QEMU's: docs/interop/qcow2.rst, "Snapshots"."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.errors import ImageError
from harness.oracle.geometry import SECTOR
from harness.readers.extents import OpenFile
from harness.readers.qcow2_header import Header, Table

_ENTRY = struct.Struct(">QIHHIIQII")
_EXTRA = struct.Struct(">QQ")
_MOST = 1 << 14  # QEMU's own limit is four times as high


@dataclass(frozen=True)
class StoredSnapshot:
    """One snapshot as it is in the file: where its `l1` table is, its virtual disk's `size` in bytes.

    `memory` is the size of the guest's memory with it, 0 if it has none. `end` is the first byte of the file after it.
    """

    name: str
    l1: Table
    size: int
    memory: int
    end: int


def stored_snapshots(file: OpenFile, header: Header) -> Iterator[StoredSnapshot]:
    """The snapshots inside an image, in order. Raises ImageError for what cannot be, or is too much to be read."""
    table = header.own.snapshots
    if table.count > _MOST:
        raise ImageError(file.image, f"has {table.count} snapshots inside: up to {_MOST} are read")
    at = table.offset
    for number in range(table.count):
        what = f"snapshot {number}"
        offset, entries, id_length, name_length, *_, old_memory, more = _ENTRY.unpack(file.read(at, _ENTRY.size, what))
        extra = file.read(at + _ENTRY.size, min(more, _EXTRA.size), what).ljust(_EXTRA.size, b"\0")
        memory, size = _EXTRA.unpack(extra)
        name = file.read(at + _ENTRY.size + more + id_length, name_length, what).decode(errors="replace")
        at += -(-(_ENTRY.size + more + id_length + name_length) // 8) * 8
        memory = memory if more >= 8 else old_memory
        size = size if more >= _EXTRA.size else header.size
        yield StoredSnapshot(name, Table(offset, entries), size // SECTOR * SECTOR, memory, at)


def as_header(file: OpenFile, header: Header, snapshot: StoredSnapshot) -> Header:
    """The header that the image would have if its disk were what a snapshot has kept. Raises ImageError."""
    needed = -(-snapshot.size // (header.cluster_size * header.l2_entries))
    if snapshot.l1.count < needed or snapshot.l1.offset % header.cluster_size:
        raise ImageError(file.image, f"has a snapshot {snapshot.name} with an L1 table that cannot be: {snapshot.l1}")
    file.refuse_beyond(snapshot.l1.offset + needed * 8, f"the L1 table of snapshot {snapshot.name}")
    return replace(header, l1_offset=snapshot.l1.offset, l1_entries=snapshot.l1.count, size=snapshot.size)
