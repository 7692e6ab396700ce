"""The bookkeeping of a qcow2 image, counted again: how often each cluster is referred to, and how often it says it is.

After QEMU's docs/interop/qcow2.rst, with no code of QEMU's: an independent witness beside `qemu-img check`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from harness.errors import ImageError
from harness.readers import qcow2
from harness.readers.bitmaps import ENTRY
from harness.readers.extents import OpenFile
from harness.readers.inside import stored_snapshots
from harness.readers.qcow2 import is_zero, without_tail
from harness.readers.qcow2_header import Header, Table

REFERENCES = 1 << 19
"""How many references are counted at most: of 32 GiB in clusters of 64 KiB; more take too much memory."""
TABLE_BYTES, BLOCK_BYTES = 64 << 20, 16 << 20
"""Bytes of tables, and of refcount blocks, that are read of one image; those of 512 GiB in clusters of 64 KiB."""
_OFFSET = 0x00FF_FFFF_FFFF_FE00
_COPIED, _COMPRESSED, _ZERO = 1 << 63, 1 << 62, 1
# bits that must be 0 (QEMU block/qcow2.h)
_RESERVED_L1, _RESERVED_L2, _RESERVED_TABLE = 0x7F00_0000_0000_01FF, 0x3F00_0000_0000_01FE, 0x1FF


@dataclass(frozen=True)
class Wrong:
    """The cluster at byte `offset` of the file is referred to `counted` times; its refcount is `stored`.

    With `flags`, it is an entry that refers to it that is wrong: in saying that the refcount is 1, or that it is not.
    """

    offset: int
    counted: int
    stored: int
    flags: bool = False

    @property
    def is_leak(self) -> bool:
        """Whether no data is in danger: the cluster is only not used again."""
        return self.stored > self.counted and not self.flags

    @property
    def endangers(self) -> bool:
        """Whether data may be lost: the cluster may be used again while it is in use, or be written to for one of two.

        An entry that says that it is written in place, though its refcount is more, is right as long as nothing else
        refers to it: a snapshot was being made inside, or removed.
        """
        if self.flags:
            return self.stored != 1 and self.counted > 1
        return not self.is_leak

    def __str__(self) -> str:
        if self.flags:
            said = "is not" if self.stored == 1 else "is"
            return f"the cluster at byte {self.offset} has refcount {self.stored}, and an entry says that it {said} 1"
        kind = "leaked" if self.is_leak else "in danger"
        times = "once" if self.counted == 1 else f"{self.counted} times"
        return f"the cluster at byte {self.offset} is referred to {times}, its refcount is {self.stored}: {kind}"


class Bookkeeper:
    """Counts the references in one image. Raises ImageError for what cannot be right, or is too much to be counted."""

    def __init__(self, file: OpenFile, header: Header) -> None:
        self._file = file
        self._header = header
        self._counted: Counter[int] = Counter()
        self._in_place: dict[int, bool] = {}  # what the flags of entries of the active L1 table say, by cluster
        self._references = 0
        self._spent: Counter[str] = Counter()  # bytes that were read

    def wrong(self) -> list[Wrong]:
        """Every cluster whose refcount is not how often it is referred to, in order; then those with wrong flags."""
        stored = self._count()
        clusters = sorted(self._counted.keys() | stored.keys())
        size = self._header.cluster_size
        found = [
            Wrong(cluster * size, self._counted[cluster], stored.get(cluster, 0))
            for cluster in clusters
            if self._counted[cluster] != stored.get(cluster, 0)
            # past the end there is nothing that could leak (QEMU does not look there, either)
            and (cluster * size < self._file.size or self._counted[cluster])
        ]
        found += [
            Wrong(cluster * size, self._counted[cluster], stored.get(cluster, 0), flags=True)
            for cluster, in_place in sorted(self._in_place.items())
            if in_place != (stored.get(cluster) == 1)
        ]
        return found

    def in_use(self) -> Collection[int]:
        """The numbers of the clusters that something refers to."""
        self._count()
        return self._counted.keys()

    def _count(self) -> dict[int, int]:
        """Count all references; returns the refcounts that are not 0, by cluster."""
        header, own = self._header, self._header.own
        self._refer(0, 1, "the header")
        self._l1(Table(header.l1_offset, header.l1_entries), "the L1 table", is_active=True)
        self._snapshots(own.snapshots)
        self._bitmaps(own.bitmaps, own.bitmap_bytes)
        if own.luks is not None:
            self._refer(own.luks.offset, own.luks.count, "the header of LUKS")
        return self._refcounts()

    def _refer(self, offset: int, length: int, what: str) -> None:
        """Count the clusters that hold `length` bytes from `offset` on."""
        bits = self._header.cluster_bits
        first, last = offset >> bits, (offset + length - 1) >> bits
        self._references += last - first + 1
        if self._references > REFERENCES:
            raise ImageError(self._file.image, f"has more than {REFERENCES} references to clusters: too many to count")
        if offset + length - self._file.size >= self._header.cluster_size:  # the last cluster may be cut short
            self._file.refuse_beyond(offset + length - self._header.cluster_size + 1, what)
        self._counted.update(range(first, last + 1))

    def _aligned(self, offset: int, what: str) -> int:
        if offset % self._header.cluster_size:
            raise ImageError(self._file.image, f"{what} lies at byte {offset}, no cluster boundary")
        return offset

    def _table(self, table: Table, width: int, what: str) -> bytes:
        """The bytes of a table of `width` bytes an entry, which are counted."""
        length = table.count * width
        if not length:
            return b""
        self._spend("tables", length, TABLE_BYTES)
        self._refer(self._aligned(table.offset, what), length, what)
        return self._file.read(table.offset, length, what)

    def _l1(self, table: Table, what: str, *, is_active: bool = False) -> None:
        for number, entry in _entries(self._table(table, 8, what)):
            self._not_reserved(entry & _RESERVED_L1, f"entry {number} of {what}")
            offset = self._aligned(entry & _OFFSET, f"the L2 table of entry {number} of {what}")
            if not offset:
                continue
            self._refer(offset, self._header.cluster_size, f"the L2 table of entry {number} of {what}")
            if is_active:
                self._in_place[offset >> self._header.cluster_bits] = bool(entry & _COPIED)
            self._l2(offset, is_active=is_active)

    def _l2(self, offset: int, *, is_active: bool) -> None:
        header = self._header
        table = self._file.read(offset, header.cluster_size, f"the L2 table at byte {offset}")
        self._spend("L2 tables", len(table) // 32 if is_zero(table) else len(table), qcow2.L2_BYTES)
        step = header.l2_entry_size
        for at in range(0, len(without_tail(table)), step):
            entry = int.from_bytes(table[at : at + 8])
            if not entry and not any(table[at : at + step]):
                continue
            what = f"entry {at // step} of the L2 table at byte {offset}"
            if header.extended_l2:
                self._subclusters(entry, int.from_bytes(table[at + 8 : at + 16]), what)
            self._l2_entry(entry, what, is_active=is_active)

    def _l2_entry(self, entry: int, what: str, *, is_active: bool) -> None:
        header = self._header
        if entry & _COMPRESSED:
            self._compressed(entry)
            return
        self._not_reserved(entry & _RESERVED_L2, what)
        host = self._aligned(entry & _OFFSET, f"the cluster of {what}")
        if not host:
            return
        if header.has_data_file:  # where nothing has a refcount
            if not entry & _COPIED:
                raise ImageError(self._file.image, f"{what} does not say that its cluster is written in place")
            return
        self._refer(host, header.cluster_size, f"the cluster of {what}")
        if is_active:
            cluster, in_place = host >> header.cluster_bits, bool(entry & _COPIED)
            # one that is referred to twice, and is said to be written in place once, is wrong
            self._in_place[cluster] = self._in_place.get(cluster, False) or in_place

    def _subclusters(self, entry: int, bitmap: int, what: str) -> None:
        """Raise ImageError for an extended L2 entry that says what cannot be."""
        allocated = bitmap & 0xFFFF_FFFF
        has_cluster = bool(entry & _OFFSET) or (self._header.has_data_file and bool(entry & _COPIED))
        if entry & _COMPRESSED:
            wrong = bitmap != 0
        else:
            wrong = bool(allocated & bitmap >> 32) or (allocated != 0 and not has_cluster)
        if wrong:
            raise ImageError(self._file.image, f"{what} cannot be: {entry:#x} {bitmap:#x}")

    def _not_reserved(self, bits: int, what: str) -> None:
        if bits:
            raise ImageError(self._file.image, f"{what} has bits set that are reserved: {bits:#x}")

    def _compressed(self, entry: int) -> None:
        bits = 62 - (self._header.cluster_bits - 8)
        host = entry & ((1 << bits) - 1)
        sectors = ((entry & (_COMPRESSED - 1)) >> bits) + 1
        self._refer(host, sectors * 512 - host % 512, "a compressed cluster")

    def _snapshots(self, table: Table) -> None:
        """The snapshots inside the image: their entries have no fixed length."""
        if not table.count:
            return
        self._aligned(table.offset, "the snapshot table")
        end = table.offset
        for snapshot in stored_snapshots(self._file, self._header):
            self._spend("tables", 4096, TABLE_BYTES)  # what it takes besides its L1 table
            self._l1(snapshot.l1, f"the L1 table of snapshot {snapshot.name}")
            end = snapshot.end
        self._refer(table.offset, end - table.offset, "the snapshot table")

    def _bitmaps(self, table: Table, length: int) -> None:
        """The bitmaps: a directory of them, a table for each, clusters with the bits."""
        if not length:
            return
        self._spend("tables", length, TABLE_BYTES)
        at = self._aligned(table.offset, "the directory of bitmaps")
        self._refer(at, length, "the directory of bitmaps")
        for number in range(table.count):
            what = f"bitmap {number}"
            self._spend("tables", 4096, TABLE_BYTES)
            offset, entries, *_, name_length, more = ENTRY.unpack(self._read(at, ENTRY.size, what))
            for _, entry in _entries(self._table(Table(offset, entries), 8, f"the table of {what}")):
                if entry & _OFFSET:
                    self._refer(self._aligned(entry & _OFFSET, what), self._header.cluster_size, what)
            at += -(-(ENTRY.size + more + name_length) // 8) * 8

    def _spend(self, what: str, length: int, most: int) -> None:
        """Count bytes that are read. Raises ImageError if they are too many: time has an end."""
        self._spent[what] += length
        if self._spent[what] > most:
            raise ImageError(self._file.image, f"has more {what} than {most} bytes, which take too long")

    def _read(self, at: int, length: int, what: str) -> bytes:
        return self._file.read(at, length, what)

    def _refcounts(self) -> dict[int, int]:
        """The refcounts that are not 0, by cluster; their table and blocks are counted themselves."""
        header, own = self._header, self._header.own
        size, bits = header.cluster_size, 1 << own.refcount_order
        per_block = size * 8 // bits
        found: dict[int, int] = {}
        table = Table(own.refcounts.offset, own.refcounts.count * size // 8)
        for number, entry in _entries(self._table(table, 8, "the refcount table")):
            what = f"refcount block {number}"
            self._not_reserved(entry & _RESERVED_TABLE, f"the entry of {what}")
            offset = self._aligned(entry, what)
            if not offset:
                continue
            self._refer(offset, size, what)
            block = self._file.read_padded(offset, size, what)
            self._spend("refcount blocks", size // 32 if is_zero(block) else size, BLOCK_BYTES)
            for index, count in _counts(block, own.refcount_order):
                found[number * per_block + index] = count
            if len(found) > REFERENCES:
                problem = f"has refcounts of more than {REFERENCES} clusters: too many to count"
                raise ImageError(self._file.image, problem)
        return found


def _entries(table: bytes) -> Iterator[tuple[int, int]]:
    """The numbers and values of the 64-bit entries of a table that are not 0."""
    end = len(without_tail(table))
    at = len(table) - len(table.lstrip(b"\0")) if end else 0
    for number in range(at // 8, -(-end // 8)):
        value = int.from_bytes(table[number * 8 : number * 8 + 8])
        if value:
            yield number, value


def _counts(block: bytes, order: int) -> Iterator[tuple[int, int]]:
    """The refcounts in a block that are not 0, each of 2^`order` bits; of less than a byte, the lowest bits first."""
    end = len(without_tail(block))
    if order >= 3:
        width = 1 << (order - 3)
        for number in range(-(-end // width)):
            count = int.from_bytes(block[number * width : (number + 1) * width])
            if count:
                yield number, count
        return
    per_byte, mask = 8 >> order, (1 << (1 << order)) - 1
    for at, byte in enumerate(block[:end]):
        for part in range(per_byte if byte else 0):
            count = byte >> (part << order) & mask
            if count:
                yield at * per_byte + part, count
