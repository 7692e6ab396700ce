"""How qemu-img is called to make and to change images: its command lines."""

from __future__ import annotations

from pathlib import PurePosixPath

from harness.oracle.image import Image
from harness.storage.formats import create_options
from harness.storage.stores import file_name, path_of

Command = tuple[str, ...]


def create(image: Image, size: int, backing: Image | None = None, *, relative: bool = False) -> Command:
    """Make an empty image of `size` bytes; with `relative` its backing file lies beside it, and is named so."""
    named = "" if backing is None else file_name(backing.store)
    named = PurePosixPath(named).name if relative else named
    below = () if backing is None else ("-b", named, "-F", backing.format.name)
    made = ("qemu-img", "create", "-q", "-f", image.format.name, *_options(image), *below)
    return (*made, str(path_of(image.store) or file_name(image.store)), str(size))


def convert(raw: str, image: Image) -> Command:
    """Make `image` a full, sparse copy of a raw file."""
    return ("qemu-img", "convert", "-f", "raw", "-O", image.format.name, raw, file_name(image.store))


def compress(image: Image, source: str, dest: str) -> Command:
    """Make `dest` a copy of a qcow2 image without a backing file, with compressed clusters; it is flushed at the end.

    `image` says how both are formatted. A `dest` that is there stays the file that it is, with its owner and its mode.
    """
    formats = ("-f", image.format.name, "-O", image.format.name)
    return ("qemu-img", "convert", "-c", "-t", "writeback", *formats, *_options(image), source, dest)


def rebase(image: Image, backing: Image) -> Command:
    """Write another backing file into the header of `image`; no data moves."""
    formats = ("-f", image.format.name, "-F", backing.format.name)
    return ("qemu-img", "rebase", "-u", *formats, "-b", file_name(backing.store), file_name(image.store))


def add_bitmap(image: Image, name: str) -> Command:
    """Make a bitmap in an image."""
    return ("qemu-img", "bitmap", "--add", "-f", image.format.name, file_name(image.store), name)


def info(image: Image) -> Command:
    """Find out whether it is there, and of its format."""
    return ("qemu-img", "info", "-U", "-f", image.format.name, file_name(image.store))


def _options(image: Image) -> Command:
    return tuple(word for option in create_options(image.format, image.format.data_file) for word in ("-o", option))
