"""The quick reader: what image files hold and show, read in this process and without any code of QEMU's.

Files are opened per call, without locks, so that images of a running VM can be read: the guest must have flushed what
it wrote, or the L2 tables that QEMU keeps in memory are not in the file yet.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from harness.errors import ImageError, in_one_line
from harness.oracle.content import Content
from harness.oracle.geometry import SECTOR, Geometry
from harness.oracle.image import Image, Raw
from harness.oracle.table import Row
from harness.readers.extents import Extent, Kind, OpenFile, merged, opened
from harness.readers.qcow2 import Qcow2, Run, is_zero
from harness.readers.qcow2_header import MAGIC, Header, read_header
from harness.readers.qemu_img import LARGEST
from harness.readers.rows import Measured, row_of
from harness.storage.stores import path_of

SMALL = 32 << 20
"""Bytes of a virtual disk that is read into memory in any case; up to LARGEST if its files take a sixteenth of it."""
PIECES = 1 << 18
"""Into how many pieces the images that are open together may be broken up."""
DEEPEST = 200
"""Images of the longest backing chain: libvirt has the same limit (src/storage_file, VIR_STORAGE_MAX_CHAIN_DEPTH)."""
_FAR = 256 << 20
_PIECE = 1 << 20
_CALL = 4096  # bytes that are looked through in the time that a small piece takes at least

_PROTOCOL = re.compile(r"[A-Za-z0-9+.-]+:")


@dataclass(eq=False)
class _Opened:
    """One image, open: what its header says and what it holds, in files that take `taken` bytes.

    `data_of` reads a run of kind DATA.
    """

    path: PurePosixPath
    size: int
    backing: PurePosixPath | None
    backing_is_raw: bool
    backing_format: str | None
    runs: list[Run]
    data_of: Callable[[Run], bytes]
    taken: int
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

    def files(self, image: Image) -> tuple[PurePosixPath, ...]:
        """The files that hold the image itself: its own, and after it the external data file that its header names."""
        with self._session(image) as session:
            path = _path(image)
            file = session.open(path)
            header = None if isinstance(image.format, Raw) else read_header(file)
            if header is None or header.data_file is None or not header.has_data_file:
                return (path,)
            data = _relative(header.data_file, path)
            session.open(data, path)
            return path, data

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
            return _shown([_open(_path(image), isinstance(image.format, Raw), session)])

    def shows(self, image: Image) -> bytes:
        """The virtual disk through the backing chain that the headers name."""
        with self._session(image) as session:
            return _shown(self._open_chain(image, {}, session))

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
        known: dict[PurePosixPath, _Opened] = {}
        chains: dict[str, list[_Opened]] = {}
        with _Session(self.resolve, Path()) as session:
            for image in files:
                session.inside = self._directory(image)
                gone = expected is not None and image.name in expected.layers and not expected.readable(image.name)
                self._known(_path(image), isinstance(image.format, Raw), known, session)
                chains[image.name] = [] if gone else self._open_chain(image, known, session)
            shown: dict[PurePosixPath, bytes] = {}
            rows = []
            for image in files:
                measured = self._measured(image, known[_path(image)], chains[image.name], files, geometry.size, shown)
                rows.append(row_of(measured, geometry, run))
        return tuple(rows)

    def _measured(
        self,
        image: Image,
        held: _Opened,
        chain: Sequence[_Opened],
        files: Sequence[Image],
        window: int,
        shown: dict[PurePosixPath, bytes],
    ) -> Measured:
        """What `held` has in `window` bytes, and whether there is anything past them: a disk may be large and empty."""
        return Measured(
            image.name,
            _shown([held], window),
            held.extents,
            _shown_once(chain, shown, window) if chain else None,
            _vacant(chain, window),
            self.name_of(held.backing, files),
            held.size,
            held.backing_format,
            _far([held], window) or _far(chain, window),
        )

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
        return _Session(self.resolve, self._directory(image))

    def _directory(self, image: Image) -> Path:
        return _here(self.resolve, _path(image)).parent if self._inside is None else self._inside

    def _open_chain(self, image: Image, known: dict[PurePosixPath, _Opened], session: _Session) -> list[_Opened]:
        """The chain of `image`, base first; `known` are images that are open already, and gets those opened now."""
        chain: list[_Opened] = []
        at: PurePosixPath | None = _path(image)
        is_raw = isinstance(image.format, Raw)
        while at is not None:
            held = self._known(at, is_raw, known, session, chain[-1].path if chain else None)
            if held in chain:
                raise ImageError(str(_path(image)), f"has a backing chain that comes back to {in_one_line(str(at))}")
            if len(chain) == DEEPEST:
                raise ImageError(str(_path(image)), f"has a backing chain of more than {DEEPEST} images")
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
            return self._files.enter_context(opened(_here(self._resolve, path), str(path), self.inside))
        except ImageError as error:
            by = "" if named_by is None else f" (the header of {in_one_line(str(named_by))} names it)"
            raise ImageError(error.image, error.problem + by) from None

    def listed(self, path: PurePosixPath, runs: Iterator[Run]) -> list[Run]:
        """`runs` as a list. Raises ImageError for more than PIECES in all: memory has an end."""
        found = list(islice(runs, PIECES + 1 - self._pieces))
        self._pieces += len(found)
        if self._pieces > PIECES:
            raise ImageError(str(path), f"is broken up into too many pieces: up to {PIECES} are read together")
        return found


def _here(resolve: Callable[[PurePosixPath], Path], path: PurePosixPath) -> Path:
    try:
        return resolve(path)
    except ValueError as error:
        raise ImageError(str(path), f"cannot be opened: {error}") from None


def _open(path: PurePosixPath, is_raw: bool, session: _Session, named_by: PurePosixPath | None = None) -> _Opened:
    file = session.open(path, named_by)
    return _raw(path, file, session) if is_raw else _qcow2(path, file, session)


def _qcow2(path: PurePosixPath, file: OpenFile, session: _Session) -> _Opened:
    header = read_header(file)
    data = file
    if header.data_file is not None and header.has_data_file:
        data = session.open(_relative(header.data_file, path), path)
    image = Qcow2(file, header, data)
    backing = _backing(path, header)
    backing_is_raw = backing is not None and _is_raw(backing, header.backing_format, path, session)
    form = header.backing_format
    taken = file.taken + (0 if data is file else data.taken)
    return _Opened(
        path, header.size, backing, backing_is_raw, form, session.listed(path, image.runs()), image.read, taken
    )


def _is_raw(path: PurePosixPath, format_name: str | None, overlay: PurePosixPath, session: _Session) -> bool:
    """Whether the backing file `path` is raw, as the header of `overlay` says, or else its own first bytes."""
    if format_name is None:
        file = session.open(path, overlay)
        return file.size < len(MAGIC) or file.read(0, len(MAGIC), "the magic") != MAGIC
    if format_name not in ("raw", "qcow2"):
        raise ImageError(
            str(overlay), f"has a backing file of format {in_one_line(format_name)}; raw and qcow2 are known"
        )
    return format_name == "raw"


def _raw(path: PurePosixPath, file: OpenFile, session: _Session) -> _Opened:
    """A raw image; its size counts in whole sectors, as for QEMU."""
    size = -(-file.size // SECTOR) * SECTOR
    runs = session.listed(path, (Run(extent, extent.offset) for extent in file.holes() if extent.length))
    runs.append(Run(Extent(file.size, size - file.size, Kind.HOLE)))

    def data_of(run: Run) -> bytes:
        return file.read_padded(run.extent.offset, run.extent.length, "the data")

    return _Opened(path, size, None, False, None, runs, data_of, file.taken)


def _offset(run: Run) -> int:
    return run.extent.offset


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
        raise ImageError(str(image), f"names a file that is not simply a path: {in_one_line(name)}")
    return image.parent / name


def _shown(chain: Sequence[_Opened], window: int | None = None) -> bytes:
    """The virtual disk through `chain`, base first: `window` bytes of it, or all, if that is no more than memory takes.

    A few bytes can claim to be a disk of any size: one is read that is small, or whose files have something in them.
    """
    top = chain[-1]
    if window is None:
        most = min(LARGEST, max(SMALL, 16 * sum(image.taken for image in chain)))
        if top.size > most:
            raise ImageError(str(top.path), f"is a disk of {top.size} bytes; up to {most} are read")
    return bytes(_piece(chain, 0, top.size if window is None else min(window, top.size)))


def _shown_once(chain: Sequence[_Opened], known: dict[PurePosixPath, bytes], window: int) -> bytes:
    """As `_shown`, layer by layer: `known` is what was shown already, and gets this."""
    below = b""
    for image in chain:
        if image.path not in known:
            piece = bytearray(below[: image.size].ljust(min(window, image.size), b"\0"))
            image.lay_over(piece)
            known[image.path] = bytes(piece)
        below = known[image.path]
    return below


def _piece(chain: Sequence[_Opened], start: int, end: int) -> bytearray:
    """What `chain`, base first, shows of the disk from byte `start` to `end`."""
    piece = bytearray(end - start)
    for image in chain:
        image.lay_over(piece, start)
    return piece


def _far(chain: Sequence[_Opened], start: int) -> tuple[int, bytes] | None:
    """A sector from byte `start` on that `chain` does not show as zeros: its place and its bytes.

    Raises ImageError if there is more to be looked through than takes a moment.
    """
    looked = 0
    for image in reversed(chain):
        for extent in image.extents:
            end = min(extent.offset + extent.length, chain[-1].size)
            if extent.kind is not Kind.DATA:
                continue
            for at in range(max(extent.offset, start), end, _PIECE):
                piece = _piece(chain, at, min(end, at + _PIECE))
                looked += (len(piece) + _CALL) * len(chain)
                if not is_zero(piece):
                    found = (len(piece) - len(piece.lstrip(b"\0"))) // SECTOR * SECTOR
                    return at + found, bytes(piece[found : found + SECTOR])
                if looked > _FAR:
                    raise ImageError(str(image.path), f"holds too much from byte {start} on to be looked through")
    return None


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
