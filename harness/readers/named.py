"""The files that QEMU opens with an image, by what the headers name: all must be among the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from harness.errors import ImageError, in_one_line
from harness.oracle.image import Image
from harness.readers.qcow2_header import MAGIC, read_header
from harness.readers.session import Session, backing_of, driver_of, here, relative
from harness.storage.stores import path_of

DEEPEST = 200
"""Images of the longest backing chain: libvirt has the same limit (src/storage_file, VIR_STORAGE_MAX_CHAIN_DEPTH)."""


def named_files(path: PurePosixPath, driver: str, session: Session, *, chain: bool = True) -> Iterator[PurePosixPath]:
    """The file of the image at `path`, of a format, and those that QEMU opens because of it.

    Without `chain`, not its backing files. Only headers are read. Raises ImageError for a file that is not inside what
    the session may open, for a name that is no path, and for a format that QEMU would guess or that is not known.
    """
    at: PurePosixPath | None = path
    named_by: PurePosixPath | None = None
    seen: set[PurePosixPath] = set()
    while at is not None:
        file = session.open(at, named_by)
        yield at
        if driver != "qcow2" or file.size < len(MAGIC) or file.read(0, len(MAGIC), "the magic") != MAGIC:
            return  # QEMU is told that it is qcow2, and refuses it
        seen.add(at)
        header = read_header(file)
        if header.has_data_file and header.data_file is not None:
            data = relative(header.data_file, at)
            if not header.data_file.removeprefix("file:").startswith("/"):  # QEMU block/qcow2.c, qcow2_do_open
                raise ImageError(
                    str(at), f"names data file {in_one_line(header.data_file)}: QEMU would take its own directory"
                )
            session.open(data, at)
            yield data
        below = backing_of(at, header) if chain else None
        if below is None:
            return
        driver = driver_of(below, header.backing_format, at, session)
        if driver == "raw" and header.backing_format is None:
            name = in_one_line(str(below))
            raise ImageError(
                str(at), f"names no format of its backing file {name}, which is not qcow2: QEMU would guess"
            )
        if below in seen or len(seen) == DEEPEST:
            raise ImageError(str(path), f"has a backing chain without an end, or of more than {DEEPEST} images")
        at, named_by = below, at


def require_inside(
    image: Image, resolve: Callable[[PurePosixPath], Path], inside: Path | None = None, *, chain: bool = True
) -> None:
    """Raise ImageError unless QEMU opens nothing outside `inside` with the image, by the headers: see `named_files`.

    `resolve` maps paths to ones of this machine; `inside` is a directory of it, None that of the image. What is in no
    file is not looked at.
    """
    path = path_of(image.store)
    if path is None:
        return
    with Session(resolve, inside or here(resolve, path).parent) as session:
        for _ in named_files(path, image.format.name, session, chain=chain):
            pass
