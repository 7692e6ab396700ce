"""What a chain of open images shows, as much of it as memory and time allow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from harness.errors import ImageError
from harness.oracle.geometry import SECTOR
from harness.readers.extents import Extent, Kind
from harness.readers.qcow2 import is_zero
from harness.readers.qemu_img import LARGEST
from harness.readers.session import OpenImage

SMALL = 32 << 20
"""Bytes of a virtual disk that is read into memory in any case; up to LARGEST if its files take a sixteenth of it."""
_FAR = 256 << 20
_PIECE = 1 << 20
_CALL = 4096  # bytes that are looked through in the time that a small piece takes at least


def shown_by(chain: Sequence[OpenImage], window: int | None = None) -> bytes:
    """The virtual disk through `chain`, base first: `window` bytes of it, or all, if that is no more than memory takes.

    A few bytes can claim to be a disk of any size: one is read that is small, or whose files have something in them.
    """
    top = chain[-1]
    if window is None:
        most = min(LARGEST, max(SMALL, 16 * sum(image.taken for image in chain)))
        if top.size > most:
            raise ImageError(str(top.path), f"is a disk of {top.size} bytes; up to {most} are read")
    return bytes(shown_piece(chain, 0, top.size if window is None else min(window, top.size)))


def shown_once(chain: Sequence[OpenImage], known: dict[PurePosixPath, bytes], window: int) -> bytes:
    """As `shown_by`, layer by layer: `known` is what was shown already, and gets this."""
    below = b""
    for image in chain:
        if image.path not in known:
            piece = bytearray(below[: image.size].ljust(min(window, image.size), b"\0"))
            image.lay_over(piece)
            known[image.path] = bytes(piece)
        below = known[image.path]
    return below


def shown_piece(chain: Sequence[OpenImage], start: int, end: int) -> bytearray:
    """What `chain`, base first, shows of the disk from byte `start` to `end`."""
    piece = bytearray(end - start)
    for image in chain:
        image.lay_over(piece, start)
    return piece


def stray_in(chain: Sequence[OpenImage], start: int) -> tuple[int, bytes] | None:
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
                piece = shown_piece(chain, at, min(end, at + _PIECE))
                looked += (len(piece) + _CALL) * len(chain)
                if not is_zero(piece):
                    found = (len(piece) - len(piece.lstrip(b"\0"))) // SECTOR * SECTOR
                    return at + found, bytes(piece[found : found + SECTOR])
                if looked > _FAR:
                    raise ImageError(str(image.path), f"holds too much from byte {start} on to be looked through")
    return None


def vacant_in(chain: Sequence[OpenImage], window: int) -> list[Extent]:
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
