"""How qemu-img is called to make and to change images: its command lines."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from harness.oracle.image import Image
from harness.storage.formats import SECRET_OBJECTS, create_options, node
from harness.storage.stores import file_name, path_of, protocol_node

Command = tuple[str, ...]


def create(image: Image, size: int, backing: Image | None = None, *, relative: bool = False) -> Command:
    """Make an empty image of `size` bytes; with `relative` its backing file lies beside it, and is named so."""
    named = "" if backing is None else file_name(backing.store)
    named = PurePosixPath(named).name if relative else named
    below = () if backing is None else ("-b", named, "-F", backing.format.name)
    made = ("qemu-img", "create", "-q", *_secrets(image), "-f", image.format.name, *_options(image), *below)
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
    below = ("-F", backing.format.name, "-b", file_name(backing.store))
    return ("qemu-img", "rebase", "-u", *below, *opened(image))


def add_bitmap(image: Image, name: str) -> Command:
    """Make a bitmap in an image."""
    return ("qemu-img", "bitmap", "--add", *opened(image), name)


def info(image: Image) -> Command:
    """Find out whether it is there, and of its format."""
    return ("qemu-img", "info", "-U", "-f", image.format.name, file_name(image.store))


def fill(image: Image, size: int) -> Command:
    """Write zeros over all `size` bytes of an image, as the guest would."""
    return ("qemu-io", *opened(image), "-c", f"write -z 0 {size}")


def opened(image: Image, *, alone: bool = False) -> Command:
    """The options with which a tool opens an image: those that say its format, and its secret; and its name.

    `alone`: without its backing file, which is encrypted. One that is encrypted itself is always opened so.
    """
    if not image.format.secret and not alone:
        return ("-f", image.format.name, file_name(image.store))
    spec = json.dumps(node(image.format, protocol_node(image.store)))
    return (*secret_options(), f"json:{spec}")


def secret_options() -> Command:
    """The options that tell a program of QEMU's of all secrets."""
    return tuple(word for each in SECRET_OBJECTS for word in ("--object", each))


def _secrets(image: Image) -> Command:
    return secret_options() if image.format.secret else ()


def _options(image: Image) -> Command:
    return tuple(word for option in create_options(image.format, image.format.data_file) for word in ("-o", option))
