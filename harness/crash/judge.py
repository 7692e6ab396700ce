"""Whether a disk holds what was promised after a power loss: the chain that a name leads to is read in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from os.path import normpath
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from harness.crash.files import Applied, Directory, Inode, Surviving
from harness.crash.log import Op
from harness.crash.promise import Promise, Values
from harness.errors import ImageError
from harness.oracle.geometry import Geometry
from harness.oracle.parts import ZERO, Blank, Written, in_words
from harness.oracle.pattern import decode, fill
from harness.readers.extents import OpenFile
from harness.readers.named import DEEPEST
from harness.readers.qcow2_header import read_header
from harness.readers.refcounts import Bookkeeper
from harness.readers.session import OpenImage, Session, open_image

_KEPT = 256  # images that were opened, and may be met again


@dataclass(frozen=True)
class Source:
    """What a definition says of a disk: the path of its image, its format as QEMU calls it, and the cache mode."""

    path: str
    driver: str
    cache: str


@lru_cache(maxsize=64)
def sources(definition: bytes) -> Mapping[str, Source]:
    """By target, the disks that a persistent definition has whose images are files. Raises ValueError if it is none."""
    try:
        root = ElementTree.fromstring(definition)
    except ElementTree.ParseError as error:
        raise ValueError(f"the persistent definition is none: {error}") from None
    found = {}
    for disk in root.findall("./devices/disk"):
        target, source, driver = disk.find("target"), disk.find("source"), disk.find("driver")
        if target is None or source is None or driver is None:
            continue
        path, encrypted = source.get("file"), source.find("encryption") is not None
        if path is not None:
            form, cache = driver.get("type", "raw"), driver.get("cache", "default")
            found[target.get("dev", "")] = Source(path, "luks" if encrypted and form == "raw" else form, cache)
    return found


@dataclass(frozen=True)
class Problem:
    """What is wrong in a crash state: of what kind, and in words; `difference` has a line for each stretch of parts."""

    kind: str
    text: str
    difference: str = ""
    is_limit: bool = False


FileKey = tuple[int, int, Applied]
"""A file as it was read: its number, version, and which of its pending calls survive."""
Key = tuple[FileKey, ...]
"""A chain as it was read."""


class Judge:
    """Reads chains of the files of `directory`; `run` is the patterns' run id.

    What was read of a file is kept as long as it is the same.
    """

    def __init__(self, directory: Directory, run: str) -> None:
        self._directory = directory
        self._run = run
        self._opened: dict[FileKey, OpenImage | ImageError] = {}
        self._counted: dict[FileKey, str] = {}
        self._below: tuple[object, bytearray] | None = None
        self.read: list[FileKey] = []  # of the chain at hand, the top first

    def chain(self, source: Source, survivors: frozenset[int]) -> list[OpenImage]:
        """The chain of an image if these calls survive, base first; `read` says of which files. Raises ImageError."""
        self.read = []
        found: list[OpenImage] = []
        at: PurePosixPath | None = PurePosixPath(source.path)
        driver = source.driver
        session = _Memory(self, survivors)
        while at is not None:
            opened = self._open(at, survivors, lambda at=at, driver=driver: open_image(at, driver, session))  # type: ignore[misc]
            if len(found) == DEEPEST or any(other.path == at for other in found):
                raise ImageError(source.path, "has a backing chain that does not end")
            found.append(opened)
            at, driver = opened.backing, opened.backing_driver
        return found[::-1]

    def problems(
        self, source: Source, chain: list[OpenImage], survivors: frozenset[int], told: Promise
    ) -> Iterator[Problem]:
        """What is not as promised in a chain."""
        top = chain[-1]
        if top.size not in told.sizes:
            sizes = " or ".join(map(str, sorted(told.sizes)))
            yield Problem("size", f"{name_of(source.path)} is a disk of {top.size} bytes, not {sizes}")
        for image in chain:
            corruption = self._corruption(image.path, survivors)
            if corruption:
                yield Problem("refcounts", f"{name_of(str(image.path))} is corrupt: {corruption}")
        try:
            shown = self._shown(chain, told.geometry.size)
        except ImageError as error:
            yield Problem("unreadable", str(error))
            return
        wrong = wrong_parts(shown, told, self._run)
        if wrong:
            difference = "\n".join(_in_lines(wrong, shown, told, self._run))
            yield Problem("parts", f"{len(wrong)} parts are not what was flushed", difference)

    def _shown(self, chain: list[OpenImage], size: int) -> bytearray:
        """The first `size` bytes that the chain at hand shows; what is below its top has mostly been read already."""
        below = size, *self.read[1:]
        if self._below is None or self._below[0] != below:
            piece = bytearray(size)
            for image in chain[:-1]:
                image.lay_over(piece)
            self._below = below, piece
        shown = bytearray(self._below[1])
        chain[-1].lay_over(shown)
        return shown

    def unreadable(self, error: ImageError, survivors: frozenset[int]) -> Problem:
        """The problem of a chain that cannot be opened; a limit if a header only is older than the files it names.

        qcow2 rewrites the header when a job has ended, and nobody flushes it: if the files that it named before are
        removed then, it names what is not there until the next flush. What QEMU and libvirt can do about it is not
        flushing, but asking users to wait: it is documented, and told as a limit.
        """
        gone = self._directory.removed
        stale = [
            path
            for path, inode in self._directory.names.items()
            if any(c.op is Op.WRITE and c.offset == 0 and c.number not in survivors for c in inode.pending)
        ]
        return Problem("unreadable", str(error), is_limit=normpath(error.image) in gone and bool(stale))

    def _open(self, path: PurePosixPath, survivors: frozenset[int], how: Callable[[], OpenImage]) -> OpenImage:
        key = self._key(str(path), survivors)
        self.read.append(key)
        if key not in self._opened:
            if len(self._opened) > _KEPT:
                self._opened.clear()
                self._counted.clear()
            try:
                self._opened[key] = how()
            except ImageError as error:
                self._opened[key] = error
        found = self._opened[key]
        if isinstance(found, ImageError):
            raise found
        return found

    def _key(self, path: str, survivors: frozenset[int]) -> FileKey:
        inode = self.inode(path)
        return inode.number, inode.version, inode.applied(survivors) if inode.pending else ()

    def inode(self, path: str) -> Inode:
        """The file of this name. Raises ImageError if there is none."""
        inode = self._directory.names.get(normpath(path))  # a header may name ../images/base.qcow2
        if inode is None:
            raise ImageError(path, "is not there")
        return inode

    def surviving(self, path: str, survivors: frozenset[int]) -> Surviving:
        """The file of this name as it is if these calls survive. Raises ImageError if there is none."""
        inode = self.inode(path)
        return Surviving(path, inode, inode.applied(survivors))

    def _corruption(self, path: PurePosixPath, survivors: frozenset[int]) -> str:
        """What of an image's refcounts endangers data, in words; leaks do not, nor does what QEMU counts anew."""
        key = self._key(str(path), survivors)
        if key not in self._counted:
            file = self.surviving(str(path), survivors)
            self._counted[key] = _corruption(file)
        return self._counted[key]


class _Memory(Session):
    """Files as they survive, in place of those on this machine."""

    def __init__(self, judge: Judge, survivors: frozenset[int]) -> None:
        super().__init__(lambda path: Path(path), Path())
        self._judge = judge
        self._survivors = survivors

    def open(self, path: PurePosixPath, named_by: PurePosixPath | None = None) -> OpenFile:  # noqa: ARG002
        """The file of this path."""
        return self._judge.surviving(str(path), self._survivors)


def _corruption(file: OpenFile) -> str:
    if file.size < 4 or file.read(0, 4, "the magic") != b"QFI\xfb":
        return ""  # raw
    try:
        header = read_header(file)
        if header.own.is_dirty:  # QEMU counts all anew before it writes to it
            return ""
        wrong = [each for each in Bookkeeper(file, header).wrong() if each.endangers]
    except ImageError as error:
        return error.problem
    return f"{len(wrong)} clusters, first: {wrong[0]}" if wrong else ""


def wrong_parts(shown: bytes | bytearray, told: Promise, run: str) -> list[int]:
    """The parts of a disk, of which these bytes were read, that are none of what they may be."""
    size, geometry = told.geometry.part_size, told.geometry
    wrong = []
    for part, values in enumerate(told.values):
        if values is None:
            continue
        if not any(shown.startswith(_bytes(value, part, geometry, run), part * size) for value in values):
            wrong.append(part)
    return wrong


@lru_cache(maxsize=1024)
def _bytes(value: str | Blank, part: int, geometry: Geometry, run: str) -> bytes:
    size = geometry.part_size
    return bytes(size) if value is ZERO else fill(str(value), run, part * size, size, geometry.cell_size)


def _in_lines(wrong: list[int], shown: bytearray, told: Promise, run: str) -> Iterator[str]:
    """Neighbours that are wrong alike in one line."""
    geometry = told.geometry
    size = geometry.part_size
    lines: list[tuple[int, int, str]] = []
    for part in wrong:
        (unit,) = decode(bytes(shown[part * size : (part + 1) * size]), part * size, run, geometry.cell_size, size)
        seen = unit.label if isinstance(unit, Written) else in_words(unit)
        text = f"{seen}, promised was {_listed(told.values[part])}"
        if lines and lines[-1][1] == part - 1 and lines[-1][2] == text:
            lines[-1] = lines[-1][0], part, text
        else:
            lines.append((part, part, text))
    for first, last, text in lines[:12]:
        where = f"bytes {first * size} to {(last + 1) * size - 1}"
        yield f"  cell {geometry.cell_of(first)}, {where}: {text}"
    if len(lines) > 12:
        yield f"  and {len(lines) - 12} other stretches"


def _listed(values: Values) -> str:
    return " or ".join(sorted(in_words(value) for value in values or ()))


def name_of(path: str) -> str:
    """The file's own name."""
    return path.rpartition("/")[2]
