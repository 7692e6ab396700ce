"""The quick reader: what image files hold and show, read in this process and without any code of QEMU's.

Files are opened per call, without locks, so that images of a running VM can be read: the guest must have flushed what
it wrote, or the L2 tables that QEMU keeps in memory are not in the file yet.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from harness.errors import ImageError
from harness.oracle.content import Content
from harness.oracle.geometry import SECTOR, Geometry
from harness.oracle.image import Image, Raw
from harness.oracle.table import Row
from harness.readers.extents import Extent, Kind, OpenFile, merged, opened
from harness.readers.qcow2 import Qcow2, Run
from harness.readers.qcow2_header import MAGIC, Header, read_header
from harness.readers.rows import Measured, row_of
from harness.storage.stores import path_of

LARGEST = 1 << 30
"""Bytes of the largest virtual disk that is read into memory."""

_PROTOCOL = re.compile(r"[A-Za-z0-9+.-]+:")


@dataclass(eq=False)
class _Opened:
    """One image, open: what its header says and what it holds. `data_of` reads a run of kind DATA."""

    path: PurePosixPath
    size: int
    backing: PurePosixPath | None
    backing_is_raw: bool
    backing_format: str | None
    runs: list[Run]
    data_of: Callable[[Run], bytes]
    extents: list[Extent] = field(init=False)

    def __post_init__(self) -> None:
        self.extents = merged(run.extent for run in self.runs)

    @property
    def end(self) -> int:
        """Where the last of what this image holds ends; it is a hole from there to its size."""
        held = (extent for extent in self.extents if extent.kind is not Kind.HOLE)
        return max((extent.offset + extent.length for extent in held), default=0)

    def lay_over(self, below: bytearray, window: int | None = None) -> bytearray:
        """The virtual disk of this image over `below`, which is what its backing file shows; `below` is changed.

        With `window`, only that many bytes of it. Where the backing file is shorter than this image, zeros are read
        (QEMU block/io.c, bdrv_co_preadv).
        """
        size = self.size if window is None else min(self.size, window)
        if size > LARGEST:
            raise ImageError(str(self.path), f"is a disk of {size} bytes; up to {LARGEST} are read")
        del below[size:]
        below.extend(bytes(size - len(below)))
        for run in self.runs:
            start, end = run.extent.offset, min(run.extent.offset + run.extent.length, size)
            if start >= size:
                break
            if run.extent.kind is Kind.DATA:
                below[start:end] = self.data_of(run)
            elif run.extent.kind is Kind.ZERO:
                below[start:end] = bytes(end - start)
        return below


class Reader:
    """Reads images by the paths that headers name, which are those that the stack under test sees.

    `resolve` maps such a path to one that can be opened here. The format that an image is given with counts, and for a
    backing file what the header above says; where that names no format, the magic bytes decide. Two paths are one file
    if they are so here, whatever links and dots are in them. Images that are no files are left out.
    Nothing outside `inside`, a directory of this machine, is ever opened, whatever headers and links say; None is the
    directory of the image that a method is asked about. Every method raises ImageError, which names the file, if an
    image lies elsewhere, is no regular file or cannot be read as what it claims to be.
    """

    def __init__(self, resolve: Callable[[PurePosixPath], Path], inside: Path | None = None) -> None:
        self.resolve = resolve
        self._inside = inside

    def reads(self, image: Image) -> bool:
        """Whether the image is a file that can be opened here."""
        return path_of(image.store) is not None

    def size(self, image: Image) -> int:
        """The size of the image's virtual disk in bytes."""
        return sum(extent.length for extent in self.own(image))

    def backing(self, image: Image) -> PurePosixPath | None:
        """The backing file that the image's header names, as a path like that of the image; None if it names none."""
        if isinstance(image.format, Raw):
            return None
        with self._session(image) as session:
            return _backing(_path(image), read_header(session.open(_path(image))))

    def same_file(self, one: PurePosixPath, other: PurePosixPath) -> bool:
        """Whether two paths name one file; one that cannot be resolved here is a file of its own."""
        if one == other:
            return True
        try:
            return os.path.realpath(_here(self.resolve, one)) == os.path.realpath(_here(self.resolve, other))
        except ImageError:
            return False

    def own(self, image: Image) -> list[Extent]:
        """What the image itself holds, in order and without gaps to the end of its virtual disk."""
        with self._session(image) as session:
            return _open(_path(image), isinstance(image.format, Raw), session).extents

    def read_own(self, image: Image) -> bytes:
        """The virtual disk with the image's own data, zeros where it has none."""
        with self._session(image) as session:
            return bytes(_open(_path(image), isinstance(image.format, Raw), session).lay_over(bytearray()))

    def shows(self, image: Image) -> bytes:
        """The virtual disk through the backing chain that the headers name."""
        with self._session(image) as session:
            return _shown(self._open_chain(image, {}, session), {})

    def chain(self, image: Image) -> list[PurePosixPath]:
        """The image's backing chain as the headers name it, base first."""
        with self._session(image) as session:
            return [held.path for held in self._open_chain(image, {}, session)]

    def measure(
        self, images: Sequence[Image], geometry: Geometry, run: str, expected: Content | None = None
    ) -> tuple[Row, ...]:
        """A row for each image that is a file; `run` is the patterns' run id.

        Where `expected` says that a file cannot be shown any more (one of its backing files was removed), no attempt is
        made. All files are opened once for the whole call.
        """
        files = [image for image in images if self.reads(image)]
        rows = []
        with ExitStack() as stack:
            known: dict[PurePosixPath, _Opened] = {}
            chains: dict[str, list[_Opened]] = {}
            for image in files:
                session = stack.enter_context(self._session(image))
                gone = expected is not None and image.name in expected.layers and not expected.readable(image.name)
                self._known(_path(image), isinstance(image.format, Raw), known, session)
                chains[image.name] = [] if gone else self._open_chain(image, known, session)
            # past this, all of them are holes: a disk may be large and nearly empty
            window = max(geometry.size, *(image.end for image in known.values()))
            shown: dict[PurePosixPath, bytes] = {}
            for image in files:
                held, chain = known[_path(image)], chains[image.name]
                measured = Measured(
                    image.name,
                    bytes(held.lay_over(bytearray(), window)),
                    held.extents,
                    _shown(chain, shown, window) if chain else None,
                    _vacant(chain, window),
                    self.name_of(held.backing, files),
                    held.size,
                    held.backing_format,
                )
                rows.append(row_of(measured, geometry, run))
        return tuple(rows)

    def name_of(self, path: PurePosixPath | None, images: Sequence[Image]) -> str | None:
        """What tables call the backing file at `path`: the name of the one of `images` that it is.

        Another file is called by its own name without suffix, or by its whole path if one of `images` has that name.
        """
        if path is None:
            return None
        for image in images:
            place = path_of(image.store)
            if place is not None and self.same_file(place, path):
                return image.name
        return str(path) if path.stem in {image.name for image in images} else path.stem

    def _session(self, image: Image) -> _Session:
        inside = _here(self.resolve, _path(image)).parent if self._inside is None else self._inside
        return _Session(self.resolve, inside)

    def _open_chain(self, image: Image, known: dict[PurePosixPath, _Opened], session: _Session) -> list[_Opened]:
        """The chain of `image`, base first; `known` are images that are open already, and gets those opened now."""
        chain: list[_Opened] = []
        at: PurePosixPath | None = _path(image)
        is_raw = isinstance(image.format, Raw)
        while at is not None:
            held = self._known(at, is_raw, known, session, chain[-1].path if chain else None)
            if held in chain:
                raise ImageError(str(_path(image)), f"has a backing chain that comes back to {at}")
            chain.append(held)
            at, is_raw = chain[-1].backing, chain[-1].backing_is_raw
        return chain[::-1]

    def _known(
        self,
        path: PurePosixPath,
        is_raw: bool,
        known: dict[PurePosixPath, _Opened],
        session: _Session,
        named_by: PurePosixPath | None = None,
    ) -> _Opened:
        if path not in known:
            other = next((held for at, held in known.items() if self.same_file(at, path)), None)
            known[path] = other or _open(path, is_raw, session, named_by)
        return known[path]


class _Session:
    """Files that are open together, all of them in the directory `inside`; closed together at the end."""

    def __init__(self, resolve: Callable[[PurePosixPath], Path], inside: Path) -> None:
        self._resolve = resolve
        self._inside = inside
        self._files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def open(self, path: PurePosixPath, named_by: PurePosixPath | None = None) -> OpenFile:
        """Open the file of this path, as the stack has it; `named_by` is the image whose header says so."""
        try:
            return self._files.enter_context(opened(_here(self._resolve, path), str(path), self._inside))
        except ImageError as error:
            by = "" if named_by is None else f" (the header of {named_by} names it)"
            raise ImageError(error.image, error.problem + by) from None


def _here(resolve: Callable[[PurePosixPath], Path], path: PurePosixPath) -> Path:
    try:
        return resolve(path)
    except ValueError as error:
        raise ImageError(str(path), f"cannot be opened: {error}") from None


def _open(path: PurePosixPath, is_raw: bool, session: _Session, named_by: PurePosixPath | None = None) -> _Opened:
    file = session.open(path, named_by)
    return _raw(path, file) if is_raw else _qcow2(path, file, session)


def _qcow2(path: PurePosixPath, file: OpenFile, session: _Session) -> _Opened:
    header = read_header(file)
    data = file
    if header.data_file is not None and header.has_data_file:
        data = session.open(_relative(header.data_file, path), path)
    image = Qcow2(file, header, data)
    backing = _backing(path, header)
    backing_is_raw = backing is not None and _is_raw(backing, header.backing_format, path, session)
    form = header.backing_format
    return _Opened(path, header.size, backing, backing_is_raw, form, list(image.runs()), image.read)


def _is_raw(path: PurePosixPath, format_name: str | None, overlay: PurePosixPath, session: _Session) -> bool:
    """Whether the backing file `path` is raw, as the header of `overlay` says, or else its own first bytes."""
    if format_name is None:
        file = session.open(path, overlay)
        return file.size < len(MAGIC) or file.read(0, len(MAGIC), "the magic") != MAGIC
    if format_name not in ("raw", "qcow2"):
        raise ImageError(str(overlay), f"has a backing file of format {format_name}; raw and qcow2 are known")
    return format_name == "raw"


def _raw(path: PurePosixPath, file: OpenFile) -> _Opened:
    """A raw image; its size counts in whole sectors, as for QEMU."""
    size = -(-file.size // SECTOR) * SECTOR
    runs = [Run(extent, extent.offset) for extent in file.holes() if extent.length]
    runs.append(Run(Extent(file.size, size - file.size, Kind.HOLE)))

    def data_of(run: Run) -> bytes:
        return file.read_padded(run.extent.offset, run.extent.length, "the data")

    return _Opened(path, size, None, False, None, runs, data_of)


def _path(image: Image) -> PurePosixPath:
    path = path_of(image.store)
    if path is None:
        raise ImageError(str(image), f"is no file: it is {image.store}")
    return path


def _backing(image: PurePosixPath, header: Header) -> PurePosixPath | None:
    return None if header.backing is None else _relative(header.backing, image)


def _relative(name: str, image: PurePosixPath) -> PurePosixPath:
    """The file that the header of `image` names: relative names count from the image's own directory."""
    name = name.removeprefix("file:")
    if _PROTOCOL.match(name):
        raise ImageError(str(image), f"names a file that is not simply a path: {name}")
    return image.parent / name


def _shown(chain: Sequence[_Opened], known: dict[PurePosixPath, bytes], window: int | None = None) -> bytes:
    """The virtual disk, or `window` bytes of it, through `chain`, base first.

    `known` is what was shown already, and gets this.
    """
    below = b""
    for image in chain:
        if image.path not in known:
            known[image.path] = bytes(image.lay_over(bytearray(below), window))
        below = known[image.path]
    return below


def _vacant(chain: Sequence[_Opened], window: int) -> list[Extent]:
    """Where in the first `window` bytes no image of `chain`, base first, holds anything."""
    if not chain:
        return []
    size = min(chain[-1].size, window)
    held = bytearray(-(-size // SECTOR))
    for image in chain:
        for extent in image.extents:
            if extent.kind is not Kind.HOLE and extent.offset < size:
                start, end = extent.offset // SECTOR, -(-(extent.offset + extent.length) // SECTOR)
                held[start:end] = b"\1" * (min(end, len(held)) - start)
    gaps = re.finditer(b"\0+", held)
    return [Extent(gap.start() * SECTOR, (gap.end() - gap.start()) * SECTOR, Kind.HOLE) for gap in gaps]
