"""The guest clusters of a qcow2 image, read with no code of QEMU's, after its docs/interop/qcow2.rst."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, groupby

from harness.errors import ImageError
from harness.readers.extents import Extent, Kind, OpenFile
from harness.readers.qcow2_header import Header
from harness.readers.zstd import ZstdError, decompress

_OFFSET = 0x00FF_FFFF_FFFF_FE00
_COPIED, _COMPRESSED, _ZERO = 1 << 63, 1 << 62, 1
_SUBCLUSTERS = 32
_TAIL = 4096
L2_BYTES = 8 << 20
"""Bytes of L2 tables that are read of one image: those of 64 GiB in clusters of 64 KiB; they take two seconds."""

Reading = Callable[[int, int, str], bytes]
"""Reads so many bytes at an offset of a file; errors say what they are."""


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of the virtual disk of one kind, and where its data is.

    `host` is a byte of the data file for plain data; a compressed cluster has `packed` bytes there.
    """

    extent: Extent
    host: int = 0
    packed: int = 0


class Qcow2:
    """An open qcow2 image; `data` is where its clusters are: the same file, or the external data file.

    `read` reads what is there: by default, as `data` does.
    """

    def __init__(self, file: OpenFile, header: Header, data: OpenFile, read: Reading | None = None) -> None:
        self.file = file
        self.header = header
        self.data = data
        self._read = read or data.read_padded

    def runs(self) -> Iterator[Run]:
        """What this image itself holds, in order and without gaps, to the end of its virtual disk.

        Raises ImageError at the first entry that cannot be right.
        """
        header = self.header
        span = header.cluster_size * header.l2_entries
        count = -(-header.size // span)
        table = self.file.read(header.l1_offset, count * 8, "the L1 table")
        seen: set[int] = set()
        spent = 0
        hole = 0  # where the present stretch of absent L2 tables began
        for index, (entry,) in enumerate(struct.iter_unpack(">Q", table)):
            start = index * span
            length = min(span, header.size - start)
            l2_offset = entry & _OFFSET
            if l2_offset == 0:
                continue
            if hole < start:
                yield Run(Extent(hole, start - hole, Kind.HOLE))
            hole = start + length
            if l2_offset % header.cluster_size or l2_offset in seen:
                problem = "is no cluster boundary" if l2_offset % header.cluster_size else "is in use twice"
                raise ImageError(self.file.image, f"the L2 table of L1 entry {index} at byte {l2_offset} {problem}")
            seen.add(l2_offset)
            l2 = self._l2_table(l2_offset, start, length)
            spent += len(l2) // 32 if is_zero(l2) else len(l2)  # one without entries costs no more than its reading
            if spent > L2_BYTES:
                raise ImageError(self.file.image, f"has more L2 tables than {L2_BYTES} bytes, which take too long")
            yield from self._l2(l2, start, length)
        if hole < header.size:
            yield Run(Extent(hole, header.size - hole, Kind.HOLE))

    def read(self, run: Run) -> bytes:
        """The data of a run of kind DATA."""
        if run.packed:
            return self._unpack(run)
        return self._read(run.host, run.extent.length, f"the data of disk byte {run.extent.offset}")

    def _l2_table(self, l2_offset: int, start: int, length: int) -> bytes:
        """The L2 table that maps `length` bytes of the disk from byte `start`, as far as it does."""
        clusters = -(-length // self.header.cluster_size)
        return self.file.read(l2_offset, clusters * self.header.l2_entry_size, f"the L2 table of disk byte {start}")

    def _l2(self, table: bytes, start: int, length: int) -> Iterator[Run]:
        """The runs of an L2 table that maps `length` bytes of the disk from byte `start`."""
        header = self.header
        if is_zero(table):
            yield Run(Extent(start, length, Kind.HOLE))
            return
        words = struct.unpack(f">{len(table) // 8}Q", table)
        entries, bitmaps = (words[::2], words[1::2]) if header.extended_l2 else (words, words)
        yield from _joined(
            run
            for at, entry, bitmap in zip(count(start, header.cluster_size), entries, bitmaps, strict=False)
            for run in self._entry(entry, bitmap, at, min(header.cluster_size, start + length - at))
        )

    def _entry(self, entry: int, bitmap: int, at: int, length: int) -> Iterable[Run]:
        """The runs of an L2 entry; `bitmap` counts only if entries are extended."""
        return (
            self._subclusters(entry, bitmap, at, length)
            if self.header.extended_l2
            else self._cluster(entry, at, length)
        )

    def _cluster(self, entry: int, at: int, length: int) -> tuple[Run]:
        """The run of a standard L2 entry."""
        if entry & _COMPRESSED:
            return (self._compressed(entry, at, length),)
        host = self._host(entry, at)
        if entry & _ZERO:
            if self.header.version < 3:
                raise ImageError(
                    self.file.image, f"has a zero cluster at disk byte {at}, which version 2 does not know"
                )
            return (Run(Extent(at, length, Kind.ZERO)),)
        if not self._allocated(entry, host):
            return (Run(Extent(at, length, Kind.HOLE)),)
        self.data.refuse_beyond(host + 1, f"the cluster of disk byte {at}")
        return (Run(Extent(at, length, Kind.DATA), host),)

    def _subclusters(self, entry: int, bitmap: int, at: int, length: int) -> Iterator[Run]:
        """The runs of an extended L2 entry: a state for each of 32 subclusters."""
        if entry & _COMPRESSED:
            yield self._compressed(entry, at, length)
            return
        host = self._host(entry, at)
        allocated, zero = bitmap & 0xFFFF_FFFF, bitmap >> 32
        has_host = self._allocated(entry, host)
        if allocated & zero or (allocated and not has_host) or entry & _ZERO:
            problem = f"has an L2 entry that cannot be for disk byte {at}: {entry:#x} {bitmap:#x}"
            raise ImageError(self.file.image, problem)
        if allocated:
            self.data.refuse_beyond(host + 1, f"the cluster of disk byte {at}")
        size = self.header.cluster_size // _SUBCLUSTERS
        begin = 0
        for kind, alike in groupby(_state(allocated >> index, zero >> index) for index in range(-(-length // size))):
            end = min(begin + size * sum(1 for _ in alike), length)
            yield Run(Extent(at + begin, end - begin, kind), host + begin if kind is Kind.DATA else 0)
            begin = end

    def _host(self, entry: int, at: int) -> int:
        host = entry & _OFFSET
        if host % self.header.cluster_size:
            raise ImageError(self.file.image, f"the cluster of disk byte {at} lies at {host}, no cluster boundary")
        if self.header.has_data_file and host not in (0, at):
            raise ImageError(self.file.image, f"the cluster of disk byte {at} lies at {host} of the external data file")
        return host

    def _allocated(self, entry: int, host: int) -> bool:
        """Offset 0 is the header's place, and means no cluster; in an external data file it is the first cluster."""
        return host != 0 or (self.header.has_data_file and bool(entry & _COPIED))

    def _compressed(self, entry: int, at: int, length: int) -> Run:
        if self.header.has_data_file:
            raise ImageError(self.file.image, f"has an external data file, and a compressed cluster at disk byte {at}")
        if self.header.own.luks is not None:
            raise ImageError(self.file.image, f"is encrypted, and has a compressed cluster at disk byte {at}")
        bits = 62 - (self.header.cluster_bits - 8)
        host = entry & ((1 << bits) - 1)
        sectors = (entry & (_COMPRESSED - 1)) >> bits
        self.file.refuse_beyond(host + 1, f"the compressed cluster of disk byte {at}")
        return Run(Extent(at, length, Kind.DATA), host, (sectors + 1) * 512 - host % 512)

    def _unpack(self, run: Run) -> bytes:
        what = f"the compressed cluster of disk byte {run.extent.offset}"
        packed = self.file.read_available(run.host, run.packed, what)
        size = self.header.cluster_size
        try:
            unpack = decompress if self.header.zstd else zlib.decompressobj(-15).decompress
            data = unpack(packed, size)
        except (zlib.error, ZstdError) as error:
            raise ImageError(self.file.image, f"{what} cannot be decompressed: {error}") from None
        if len(data) != size:
            raise ImageError(self.file.image, f"{what} holds {len(data)} bytes instead of {size}")
        return data[: run.extent.length]


def _state(allocated: int, zero: int) -> Kind:
    """What the lowest bits of the two bitmaps of an extended L2 entry say."""
    return Kind.DATA if allocated & 1 else Kind.ZERO if zero & 1 else Kind.HOLE


def is_zero(data: bytes | bytearray) -> bool:
    """Whether all bytes are zero."""
    return data.count(0) == len(data)


def without_tail(data: bytes) -> bytes:
    """`data` without the zeros at its end; of a table that is mostly empty, ten times as fast as rstrip."""
    end = len(data)
    while end and is_zero(data[max(0, end - _TAIL) : end]):
        end = max(0, end - _TAIL)
    return data[:end].rstrip(b"\0")


def _joined(runs: Iterable[Run]) -> Iterator[Run]:
    """`runs`, which follow each other, with those that continue the one before made one with it."""
    first: Run | None = None
    length = 0  # of what goes on from `first`
    for run in runs:
        if first is not None and _continues(run, first, length):
            length += run.extent.length
            continue
        if first is not None:
            yield _of_length(first, length)
        first, length = run, run.extent.length
    if first is not None:
        yield _of_length(first, length)


def _continues(run: Run, first: Run, length: int) -> bool:
    if run.extent.kind is not first.extent.kind or run.packed or first.packed:
        return False
    return run.extent.kind is not Kind.DATA or first.host + length == run.host


def _of_length(run: Run, length: int) -> Run:
    if length == run.extent.length:
        return run
    return Run(Extent(run.extent.offset, length, run.extent.kind), run.host)
