"""From what a reader read of an image to a row of the table: the one way for every reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.oracle.geometry import SECTOR, Geometry
from harness.oracle.layer import Parts
from harness.oracle.parts import HOLE, ZERO, Seen, Torn, Written, in_words
from harness.oracle.pattern import Unit, decode
from harness.oracle.table import Row
from harness.readers.extents import Extent, Kind


@dataclass(frozen=True)
class Measured:
    """What was read of an image.

    `own` is the virtual disk with the image's own data, zeros elsewhere; `extents` says what of it is which. `shows` is
    the virtual disk through the backing chain, None if that could not be read. `vacant` are the extents of kind HOLE
    where no image of the chain holds anything. `backing` is the backing file's name in tables, `backing_format` what
    the header says of it; `size` is that of the virtual disk in bytes. Where `own` and `shows` end before the disk,
    `far` is a sector past them that is not all zeros: its place, and its bytes.
    """

    name: str
    own: bytes
    extents: Sequence[Extent]
    shows: bytes | None
    vacant: Sequence[Extent]
    backing: str | None
    size: int
    backing_format: str | None
    far: tuple[int, bytes] | None = None


def row_of(measured: Measured, geometry: Geometry, run: str) -> Row:
    """The row of an image, with a value for every part that `geometry` knows; `run` is the patterns' run id."""
    contains = _values(measured.own, geometry, run)
    _cut_holes(contains, measured.extents, len(measured.own), geometry, strict=measured.backing is not None)
    beyond = _beyond(measured.own, geometry, run)
    shows: list[Seen] | None = None
    if measured.shows is not None:
        shows = _values(measured.shows, geometry, run)
        _cut_holes(shows, measured.vacant, len(measured.shows), geometry, strict=False)
        beyond = beyond or _beyond(measured.shows, geometry, run)
    if measured.far is not None:
        beyond = beyond or _stray(*measured.far, geometry, run)
    seen = None if shows is None else tuple(shows)
    size, below = measured.size, measured.backing_format
    return Row(measured.name, tuple(contains), seen, measured.backing, beyond, size, below)


def read_row(
    name: str, data: bytes, geometry: Geometry, run: str, expected: Parts | None = None, size: int | None = None
) -> Row:
    """The row of a disk of which only the bytes are known: `data`, as the guest read all its cells, and its `size`.

    Reading cannot tell a hole from zeros: zeros count as a hole where `expected` has one.
    """
    shows = _values(data, geometry, run)
    if expected is not None:
        shows = [
            HOLE if seen is ZERO and should is HOLE else seen for seen, should in zip(shows, expected, strict=True)
        ]
    beyond = _beyond(data, geometry, run)
    if len(data) < geometry.size:
        beyond = f"the disk ends at byte {len(data)}"
    return Row(name, None, tuple(shows), None, beyond, size)


def only(kind: Kind, extents: Sequence[Extent], shown: bytes) -> bytes:
    """`shown` with zeros wherever `extents` are not of `kind`."""
    kept = [extent for extent in extents if extent.kind is kind]
    if len(kept) == 1 and kept[0].length == len(shown):
        return shown
    own = bytearray(len(shown))
    for extent in kept:
        end = extent.offset + extent.length
        own[extent.offset : end] = memoryview(shown)[extent.offset : end]
    return bytes(own)


def _values(data: bytes, geometry: Geometry, run: str) -> list[Seen]:
    data = data[: geometry.size].ljust(geometry.size, b"\0")
    return [_seen(unit) for unit in decode(data, 0, run, geometry.cell_size, geometry.part_size)]


def _seen(unit: Unit) -> Seen:
    return unit.label if isinstance(unit, Written) else unit


def _cut_holes(values: list[Seen], extents: Sequence[Extent], end: int, geometry: Geometry, *, strict: bool) -> None:
    """Set each part that lies wholly in a hole to HOLE. With `strict`, a part only partly in one becomes Torn.

    `end` is the image's size in bytes: all that `geometry` has past it is a hole too.
    """
    size = geometry.part_size
    for extent in [*extents, Extent(end, max(0, geometry.size - end), Kind.HOLE)]:
        if extent.kind is not Kind.HOLE:
            continue
        stop = extent.offset + extent.length
        for part in range(-(-extent.offset // size), min(stop // size, geometry.parts)):
            values[part] = HOLE
        for edge in (extent.offset, stop) if strict else ():
            if edge % size and edge < geometry.size:
                values[edge // size] = Torn(f"bytes {extent.offset}-{stop - 1} are a hole, others of the part are not")


def _beyond(data: bytes, geometry: Geometry, run: str) -> str:
    """What stands past the last cell, "" if that is nothing or zeros."""
    rest = data[geometry.size :]
    if not rest or rest == bytes(len(rest)):
        return ""
    at = (len(rest) - len(rest.lstrip(b"\0"))) // SECTOR * SECTOR
    return _stray(geometry.size + at, rest[at : at + SECTOR], geometry, run)


def _stray(at: int, sector: bytes, geometry: Geometry, run: str) -> str:
    (unit,) = decode(sector.ljust(SECTOR, b"\0"), at, run, geometry.cell_size)
    return f"byte {at} of the disk is {in_words(_seen(unit))}"
