"""What an image file holds where: extents of the virtual disk, and an open file that is read without surprises."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from harness.errors import ImageError
from harness.readers.beneath import open_beneath


class Kind(Enum):
    """What an image file itself holds of a stretch of its virtual disk."""

    DATA = "data"
    ZERO = "zero"  # reads as zeros, whatever lies below
    HOLE = "hole"  # not allocated


@dataclass(frozen=True, slots=True)
class Extent:
    """`length` bytes at byte `offset` of the virtual disk that are of one kind."""

    offset: int
    length: int
    kind: Kind


def merged(extents: Iterable[Extent]) -> list[Extent]:
    """`extents`, which are in order and without gaps, with neighbours of one kind made one."""
    result: list[Extent] = []
    for extent in extents:
        if extent.length == 0:
            continue
        if result and result[-1].kind is extent.kind:
            last = result[-1]
            result[-1] = Extent(last.offset, last.length + extent.length, last.kind)
        else:
            result.append(extent)
    return result


class OpenFile:
    """A file open for reading; `image` is what errors call it. Takes no locks: another process may be writing."""

    def __init__(self, descriptor: int, image: str) -> None:
        self.descriptor = descriptor
        self.image = image
        self.size = os.lseek(descriptor, 0, os.SEEK_END)
        self.taken = os.fstat(descriptor).st_blocks * 512

    def read(self, offset: int, length: int, what: str) -> bytes:
        """Exactly `length` bytes at `offset`. Raises ImageError, which says `what` is missing, at the file's end."""
        self.refuse_beyond(offset + length, what)
        data = self._pread(length, offset)
        if len(data) != length:
            raise ImageError(self.image, f"{what} ends early: {len(data)} of {length} bytes at {offset}")
        return data

    def read_padded(self, offset: int, length: int, what: str) -> bytes:
        """As `read`, but only the first byte must be there: what is past the file's end is zeros."""
        self.refuse_beyond(offset + 1, what)
        return self._pread(length, offset).ljust(length, b"\0")

    def read_available(self, offset: int, length: int, what: str) -> bytes:
        """As `read`, but fewer bytes if the file ends."""
        self.refuse_beyond(offset + 1, what)
        return self._pread(length, offset)

    def refuse_beyond(self, end: int, what: str) -> None:
        """Raise ImageError if the file ends before byte `end`; it may have grown since it was opened."""
        if end > self.size:
            self.size = os.lseek(self.descriptor, 0, os.SEEK_END)
        if end > self.size:
            raise ImageError(self.image, f"{what} reaches to byte {end}, beyond the end of the file at {self.size}")

    def _pread(self, length: int, offset: int) -> bytes:
        pieces: list[bytes] = []
        while length > 0:
            try:
                piece = os.pread(self.descriptor, length, offset)
            except OSError as error:
                raise ImageError(self.image, f"cannot be read: {error.strerror}") from None
            if not piece:
                break
            pieces.append(piece)
            length -= len(piece)
            offset += len(piece)
        return b"".join(pieces)

    def holes(self) -> Iterator[Extent]:
        """The file's own data and holes, as the filesystem tells (lseek(2), SEEK_DATA and SEEK_HOLE), in order."""
        at = 0
        while at < self.size:
            try:
                data = min(os.lseek(self.descriptor, at, os.SEEK_DATA), self.size)
                hole = min(os.lseek(self.descriptor, data, os.SEEK_HOLE), self.size)
            except OSError:  # ENXIO: no data from here on
                data = hole = self.size
            yield Extent(at, data - at, Kind.HOLE)
            yield Extent(data, hole - data, Kind.DATA)
            at = hole


@contextmanager
def opened(path: Path, image: str, inside: Path | None = None) -> Iterator[OpenFile]:
    """Open the regular file at `path`, under the name `image`. Raises ImageError if that fails.

    It must lie in the directory `inside`, or below; None is the directory that `path` names.
    """
    descriptor = open_beneath(path.parent if inside is None else inside, path, image)
    try:
        yield OpenFile(descriptor, image)
    finally:
        os.close(descriptor)
