"""Images that are open together: their headers, what is where in them, within a directory and within limits."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from harness.errors import ImageError, in_one_line
from harness.oracle.geometry import SECTOR
from harness.oracle.image import Nbd
from harness.readers.extents import Extent, Kind, OpenFile, merged, opened
from harness.readers.inside import as_header, stored_snapshots
from harness.readers.luks import Decrypted, unlocked
from harness.readers.qcow2 import Qcow2, Reading, Run
from harness.readers.qcow2_header import MAGIC, Header, read_header
from harness.storage.stores import UnknownStore, beneath, path_of, store_named

DRIVERS = ("qcow2", "raw", "luks")
"""The formats that are known, as QEMU calls them."""
PIECES = 1 << 18
"""Into how many pieces the images that are open together may be broken up."""
_PROTOCOL = re.compile(r"[A-Za-z0-9+.-]+:")


@dataclass(eq=False)
class OpenImage:
    """One image, open: what its header says and what it holds, in files that take `taken` bytes.

    `data_of` reads a run of kind DATA. A raw one has no `header`.
    """

    path: PurePosixPath
    size: int
    backing: PurePosixPath | None
    backing_driver: str
    backing_format: str | None
    runs: list[Run]
    data_of: Callable[[Run], bytes]
    taken: int
    header: Header | None = None
    extents: list[Extent] = field(init=False)

    def __post_init__(self) -> None:
        self.extents = merged(run.extent for run in self.runs)

    def lay_over(self, below: bytearray, start: int = 0) -> None:
        """Make `below`, which is what the backing file shows from byte `start` on, what this image shows there.

        Where the backing file is shorter than this image, zeros are read (QEMU block/io.c, bdrv_co_preadv).
        """
        end = start + len(below)
        rest = max(0, self.size - start)
        below[rest:] = bytes(max(0, len(below) - rest))
        for number in range(max(0, bisect_right(self.runs, start, key=_offset) - 1), len(self.runs)):
            run = self.runs[number]
            first, last = max(run.extent.offset, start), min(run.extent.offset + run.extent.length, end)
            if run.extent.offset >= end:
                break
            if first < last and run.extent.kind is not Kind.HOLE:
                below[first - start : last - start] = self._read(run, first, last)

    def _read(self, run: Run, first: int, last: int) -> bytes:
        """The bytes of `run`, which is data or zeros, from byte `first` of the disk to `last`."""
        if run.extent.kind is Kind.ZERO:
            return bytes(last - first)
        skipped = first - run.extent.offset
        if run.packed:
            return self.data_of(run)[skipped : last - run.extent.offset]
        return self.data_of(Run(Extent(first, last - first, Kind.DATA), run.host + skipped))


class Session:
    """Files that are open together, each of them in what is `inside` then; closed together at the end."""

    def __init__(self, resolve: Callable[[PurePosixPath], Path], inside: Path) -> None:
        self.inside = inside
        self._resolve = resolve
        self._files = ExitStack()
        self._pieces = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def open(self, path: PurePosixPath, named_by: PurePosixPath | None = None) -> OpenFile:
        """Open the file of this path, as the stack has it; `named_by` is the image whose header says so."""
        try:
            return self._files.enter_context(opened(here(self._resolve, path), str(path), self.inside))
        except ImageError as error:
            by = "" if named_by is None else f" (the header of {in_one_line(str(named_by))} names it)"
            raise ImageError(error.image, error.problem + by) from None

    def place(self, path: PurePosixPath) -> Path:
        """Where it lies on this machine."""
        return here(self._resolve, path)

    def listed(self, path: PurePosixPath, runs: Iterator[Run]) -> list[Run]:
        """`runs` as a list. Raises ImageError for more than PIECES in all: memory has an end."""
        found = list(islice(runs, PIECES + 1 - self._pieces))
        self._pieces += len(found)
        if self._pieces > PIECES:
            raise ImageError(str(path), f"is broken up into too many pieces: up to {PIECES} are read together")
        return found


def here(resolve: Callable[[PurePosixPath], Path], path: PurePosixPath) -> Path:
    """Where `path` is on this machine; raises ImageError where `resolve` has a ValueError."""
    try:
        return resolve(path)
    except ValueError as error:
        raise ImageError(str(path), f"cannot be opened: {error}") from None


def open_image(path: PurePosixPath, driver: str, session: Session, named_by: PurePosixPath | None = None) -> OpenImage:
    """Open the image at `path`, which the header of `named_by` names, as one of a format: see DRIVERS.

    Raises ImageError.
    """
    file = session.open(path, named_by)
    if driver == "qcow2":
        return _qcow2(path, file, session)
    return _raw(path, file, session) if driver == "raw" else _luks(path, file, session)


def _qcow2(path: PurePosixPath, file: OpenFile, session: Session) -> OpenImage:
    return _mapped(path, file, read_header(file), session)


def open_inside(image: OpenImage, session: Session) -> Iterator[tuple[str, OpenImage]]:
    """What each snapshot inside an open image has kept of it, by name, as if it were the image. Raises ImageError."""
    if image.header is None or not image.header.own.snapshots.count:
        return
    file = session.open(image.path)
    for snapshot in stored_snapshots(file, image.header):
        yield snapshot.name, _mapped(image.path, file, as_header(file, image.header, snapshot), session)


def _mapped(path: PurePosixPath, file: OpenFile, header: Header, session: Session) -> OpenImage:
    data = file
    if header.data_file is not None and header.has_data_file:
        data = session.open(relative(header.data_file, path), path)
    taken = file.taken + (0 if data is file else data.taken)
    read = data.read_padded
    if header.own.luks is not None:
        _, cipher = unlocked(file, header.own.luks.offset)
        read = Decrypted(data, cipher).read_padded
    image = Qcow2(file, header, data, read)
    backing = backing_of(path, header)
    driver = "" if backing is None else driver_of(backing, header.backing_format, path, session)
    form = header.backing_format
    runs = session.listed(path, image.runs())
    return OpenImage(path, header.size, backing, driver, form, runs, image.read, taken, header)


def driver_of(path: PurePosixPath, format_name: str | None, overlay: PurePosixPath, session: Session) -> str:
    """The format of the backing file `path`, as the header of `overlay` says, or else its own first bytes."""
    if format_name is None:
        file = session.open(path, overlay)
        return "qcow2" if file.size >= len(MAGIC) and file.read(0, len(MAGIC), "the magic") == MAGIC else "raw"
    if format_name not in DRIVERS:
        raise ImageError(
            str(overlay), f"has a backing file of format {in_one_line(format_name)}; {', '.join(DRIVERS)} are known"
        )
    return format_name


def _raw(path: PurePosixPath, file: OpenFile, session: Session) -> OpenImage:
    """A raw image; its size counts in whole sectors, as for QEMU. A device holds all that it shows."""
    size = -(-file.size // SECTOR) * SECTOR
    is_device = session.place(path).name == beneath(path).name
    extents = iter([Extent(0, file.size, Kind.DATA)]) if is_device else file.holes()
    runs = session.listed(path, (Run(extent, extent.offset) for extent in extents if extent.length))
    runs.append(Run(Extent(file.size, size - file.size, Kind.HOLE)))

    return OpenImage(path, size, None, "", None, runs, _in_place(file.read_padded), file.taken)


def _luks(path: PurePosixPath, file: OpenFile, session: Session) -> OpenImage:
    """A raw image that is encrypted: it holds all that it shows."""
    _, cipher = unlocked(file)
    data = Decrypted(file, cipher, cipher.payload)
    runs = session.listed(path, iter([Run(Extent(0, data.size, Kind.DATA))]))

    return OpenImage(path, data.size, None, "", None, runs, _in_place(data.read_padded), file.taken)


def _in_place(read: Reading) -> Callable[[Run], bytes]:
    """Reads the runs of an image that has every byte where its disk has it."""
    return lambda run: read(run.extent.offset, run.extent.length, "the data")


def backing_of(image: PurePosixPath, header: Header) -> PurePosixPath | None:
    """The backing file that the header of `image` names. Raises ImageError if that is no path."""
    return None if header.backing is None else relative(header.backing, image)


def relative(name: str, image: PurePosixPath) -> PurePosixPath:
    """The file that the header of `image` names: relative names count from the image's own directory."""
    served = _served(name, image)
    if served is not None:
        return served
    name = name.removeprefix("file:")
    if _PROTOCOL.match(name):
        raise ImageError(str(image), f"names a file that is not simply a path: {in_one_line(name)}")
    return image.parent / name


def _served(name: str, image: PurePosixPath) -> PurePosixPath | None:
    """The file that an NBD server has under a name of its own, as QEMU's URI or libvirt's JSON; None of other names."""
    if not name.startswith(("nbd+unix:", "json:")):
        return None
    try:
        store = store_named(name, image)
    except UnknownStore:
        return None
    return path_of(store) if isinstance(store, Nbd) else None


def _offset(run: Run) -> int:
    return run.extent.offset
