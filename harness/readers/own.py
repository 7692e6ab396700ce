"""The quick reader: what image files hold and show, read in this process and without any code of QEMU's.

Files are opened per call, without locks, so that images of a running VM can be read: the guest must have flushed what
it wrote, or the L2 tables that QEMU keeps in memory are not in the file yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from harness.errors import ImageError, in_one_line
from harness.oracle.content import Content
from harness.oracle.geometry import SECTOR, Geometry
from harness.oracle.image import Image, Raw
from harness.oracle.table import Row, inside_name
from harness.readers.bitmaps import StoredBitmap, stored_bitmaps
from harness.readers.extents import Extent
from harness.readers.inside import StoredSnapshot, stored_snapshots
from harness.readers.luks import unlocked
from harness.readers.named import DEEPEST
from harness.readers.qcow2_header import Header, read_header
from harness.readers.refcounts import Bookkeeper, Wrong
from harness.readers.rows import Measured, row_of
from harness.readers.session import OpenImage, Session, backing_of, here, open_image, open_inside, relative
from harness.readers.shown import shown_by, shown_once, stray_in, vacant_in
from harness.storage.stores import path_of

BLOCK = 4096
"""Bytes that a file system allocates together: several clusters, if they are smaller."""


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
        """The size of the image's virtual disk in bytes; that of a raw one counts in whole sectors, as for QEMU."""
        header = self.header(image)
        if header is not None:
            return header.size
        with self._session(image) as session:
            file = session.open(_path(image))
            payload = unlocked(file)[1].payload if image.format.secret else 0
            return -(-(file.size - payload) // SECTOR) * SECTOR

    def header(self, image: Image) -> Header | None:
        """What the image's header says; None of a raw one, which has none."""
        if isinstance(image.format, Raw):
            return None
        with self._session(image) as session:
            return read_header(session.open(_path(image)))

    def secret(self, image: Image) -> str:
        """The secret that opens an image; "" if it is not encrypted."""
        if image.format.name == Raw().name:
            return ""
        with self._session(image) as session:
            file = session.open(_path(image))
            if isinstance(image.format, Raw):
                return unlocked(file)[0]
            luks = read_header(file).own.luks
            return "" if luks is None else unlocked(file, luks.offset)[0]

    def wrong_refcounts(self, image: Image) -> list[Wrong]:
        """The clusters of a qcow2 image whose refcounts are not how often they are referred to: see Bookkeeper."""
        with self._session(image) as session:
            file = session.open(_path(image))
            return Bookkeeper(file, read_header(file)).wrong()

    def bitmaps(self, image: Image) -> Mapping[str, StoredBitmap]:
        """The dirty bitmaps in an image, by their names; a raw one has none."""
        if isinstance(image.format, Raw):
            return {}
        with self._session(image) as session:
            file = session.open(_path(image))
            return stored_bitmaps(file, read_header(file))

    def inside(self, image: Image) -> Mapping[str, StoredSnapshot]:
        """The snapshots inside an image, by their names; a raw one has none."""
        if isinstance(image.format, Raw):
            return {}
        with self._session(image) as session:
            file = session.open(_path(image))
            return {each.name: each for each in stored_snapshots(file, read_header(file))}

    def in_use(self, image: Image) -> int:
        """The bytes of a qcow2 image that something in it refers to: whole clusters, or BLOCKs if they are smaller."""
        with self._session(image) as session:
            file = session.open(_path(image))
            header = read_header(file)
            unit = max(header.cluster_size, BLOCK)
            return len({cluster * header.cluster_size // unit for cluster in Bookkeeper(file, header).in_use()}) * unit

    def backing(self, image: Image) -> PurePosixPath | None:
        """The backing file that the image's header names, as a path like that of the image; None if it names none."""
        header = self.header(image)
        return None if header is None else backing_of(_path(image), header)

    def files(self, image: Image) -> tuple[PurePosixPath, ...]:
        """The files that hold the image itself: its own, and after it the external data file that its header names."""
        with self._session(image) as session:
            path = _path(image)
            file = session.open(path)
            header = None if isinstance(image.format, Raw) else read_header(file)
            if header is None or header.data_file is None or not header.has_data_file:
                return (path,)
            data = relative(header.data_file, path)
            session.open(data, path)
            return path, data

    def same_file(self, one: PurePosixPath, other: PurePosixPath) -> bool:
        """Whether two paths name one file; one that cannot be resolved here is a file of its own."""
        if one == other:
            return True
        try:
            return os.path.realpath(here(self.resolve, one)) == os.path.realpath(here(self.resolve, other))
        except ImageError:
            return False

    def own(self, image: Image) -> list[Extent]:
        """What the image itself holds, in order and without gaps to the end of its virtual disk."""
        with self._session(image) as session:
            return open_image(_path(image), image.format.name, session).extents

    def read_own(self, image: Image) -> bytes:
        """The virtual disk with the image's own data, zeros where it has none."""
        with self._session(image) as session:
            return shown_by([open_image(_path(image), image.format.name, session)])

    def shows(self, image: Image) -> bytes:
        """The virtual disk through the backing chain that the headers name."""
        with self._session(image) as session:
            return shown_by(self._open_chain(image, {}, session))

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
        known: dict[PurePosixPath, OpenImage] = {}
        chains: dict[str, list[OpenImage]] = {}
        with Session(self.resolve, Path()) as session:
            for image in files:
                session.inside = self._directory(image)
                gone = expected is not None and image.name in expected.layers and not expected.readable(image.name)
                self._known(_path(image), image.format.name, known, session)
                chains[image.name] = [] if gone else self._open_chain(image, known, session)
            shown: dict[PurePosixPath, bytes] = {}
            rows = []
            for image in files:
                held, chain = known[_path(image)], chains[image.name]
                rows.append(row_of(self._measured(image.name, held, chain, files, geometry.size, shown), geometry, run))
                for snapshot, kept in open_inside(held, session):
                    below = {path: piece for path, piece in shown.items() if path != held.path}
                    through = [*chain[:-1], kept] if chain else []
                    name = inside_name(image.name, snapshot)
                    then = self._measured(name, kept, through, files, geometry.size, below)
                    rows.append(row_of(then, geometry, run))
        return tuple(rows)

    def _measured(
        self,
        name: str,
        held: OpenImage,
        chain: Sequence[OpenImage],
        files: Sequence[Image],
        window: int,
        shown: dict[PurePosixPath, bytes],
    ) -> Measured:
        """What `held` has in `window` bytes, and whether there is anything past them: a disk may be large and empty."""
        return Measured(
            name,
            shown_by([held], window),
            held.extents,
            shown_once(chain, shown, window) if chain else None,
            vacant_in(chain, window),
            self.name_of(held.backing, files),
            held.size,
            held.backing_format,
            stray_in([held], window) or stray_in(chain, window),
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

    def _session(self, image: Image) -> Session:
        return Session(self.resolve, self._directory(image))

    def _directory(self, image: Image) -> Path:
        return here(self.resolve, _path(image)).parent if self._inside is None else self._inside

    def _open_chain(self, image: Image, known: dict[PurePosixPath, OpenImage], session: Session) -> list[OpenImage]:
        """The chain of `image`, base first; `known` are images that are open already, and gets those opened now."""
        chain: list[OpenImage] = []
        at: PurePosixPath | None = _path(image)
        driver = image.format.name
        while at is not None:
            held = self._known(at, driver, known, session, chain[-1].path if chain else None)
            if held in chain:
                raise ImageError(str(_path(image)), f"has a backing chain that comes back to {in_one_line(str(at))}")
            if len(chain) == DEEPEST:
                raise ImageError(str(_path(image)), f"has a backing chain of more than {DEEPEST} images")
            chain.append(held)
            at, driver = chain[-1].backing, chain[-1].backing_driver
        return chain[::-1]

    def _known(
        self,
        path: PurePosixPath,
        driver: str,
        known: dict[PurePosixPath, OpenImage],
        session: Session,
        named_by: PurePosixPath | None = None,
    ) -> OpenImage:
        if path not in known:
            other = next((held for at, held in known.items() if self.same_file(at, path)), None)
            known[path] = other or open_image(path, driver, session, named_by)
        return known[path]


def _path(image: Image) -> PurePosixPath:
    path = path_of(image.store)
    if path is None:
        raise ImageError(str(image), f"is no file: it is {image.store}")
    return path
