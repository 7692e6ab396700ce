"""How QEMU spells a whole image, and a chain of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from harness.oracle.image import File, Format, Image, Qcow2, Store
from harness.storage.formats import node, suffix
from harness.storage.stores import Node, protocol_node, same_place


def file_image(directory: PurePosixPath, name: str, image_format: Format | None = None) -> Image:
    """The image of this name in a file of its own in `directory`: sn1 is sn1.qcow2."""
    image_format = image_format or Qcow2()
    return Image(name, image_format, File(directory / f"{name}{suffix(image_format)}"))


def image_at(path: PurePosixPath | str, image_format: Format | None = None) -> Image:
    """The image in the file at `path`, qcow2 by default, named after the file without its last suffix."""
    where = PurePosixPath(path)
    return Image(where.stem, image_format or Qcow2(), File(where))


def image_in(store: Store, images: Iterable[Image]) -> Image | None:
    """The one of `images` that lies in `store`, by its name there; None if none does."""
    return next((image for image in images if same_place(image.store, store)), None)


def unlocked(chain: Sequence[Image]) -> str:
    """The image `chain[0]` over the rest of `chain`, as a file name that makes QEMU open it all without locks.

    `--force-share` is not enough while an active commit runs: QEMU then refuses the layers between base and active to
    every other reader ('Failed to get "consistent read" lock'), since they no longer show any moment of the disk.
    """
    spec: Node | None = None
    for image in reversed(chain):
        spec = node(image.format, protocol_node(image.store, locking=False), spec)
    return f"json:{json.dumps(spec)}"
