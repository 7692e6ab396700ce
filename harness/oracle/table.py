"""A table of what every layer contains and shows, as a value: to print, and to hold one against another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from harness.oracle.geometry import Geometry
from harness.oracle.parts import UNDEFINED, Foreign, Part, Perhaps, Seen, Shifted, Torn, agrees, character, in_words

Cells = tuple[Part | Seen, ...]
"""A value for every part of the disk."""


def inside_name(image: str, snapshot: str) -> str:
    """What a table calls a snapshot inside an image."""
    return f"{image}@{snapshot}"


@dataclass(frozen=True)
class Row:
    """One image file, a snapshot inside one, or what the guest sees.

    `contains` is None if there is no file to look into (the guest), `shows` if it cannot be read (a file of its backing
    chain was removed). `backing` is the name of the backing file; without one, holes and zeros are the same.
    `beyond` tells of bytes past the disk's last cell that should not be there. `size` is that of the virtual disk in
    bytes, `backing_format` what the header says of the backing file: compared where something is expected.
    """

    name: str
    contains: Cells | None
    shows: Cells | None
    backing: str | None = None
    beyond: str = ""
    size: int | None = None
    backing_format: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows for the files and the guest; every value is per part of `geometry`."""

    rows: tuple[Row, ...]
    geometry: Geometry

    def row(self, name: str) -> Row | None:
        """The row of that name, if there is one."""
        return next((row for row in self.rows if row.name == name), None)

    def without_contents(self) -> Table:
        """The table with what the files show only, for a reader that cannot tell what they contain."""
        return Table(tuple(Row(row.name, None, row.shows, None, row.beyond) for row in self.rows), self.geometry)

    def of(self, names: Collection[str]) -> Table:
        """The table without the rows of images that are not among `names`."""
        return Table(tuple(row for row in self.rows if row.name in names), self.geometry)

    def drawn(self, values: Cells | None) -> str:
        """One character per cell; nothing for None.

        The label's letter, `-` a hole, `0` zeros, `?` undefined, `~` parts that differ, `!` what no write left.
        """
        if values is None:
            return ""
        per_cell = self.geometry.parts_per_cell
        return "".join(character(values[i : i + per_cell]) for i in range(0, len(values), per_cell))

    def __str__(self) -> str:
        """Aligned columns: image, contains, shows."""
        lines = [("image", "contains", "shows")]
        lines += [(row.name, self.drawn(row.contains), self.drawn(row.shows)) for row in self.rows]
        return _aligned(lines)


def known(expected: Table, seen: Table) -> Table:
    """What was seen, but for what nobody could expect: there the expectation stands, so that two runs are alike."""
    rows = []
    for row in seen.rows:
        should = expected.row(row.name)
        assert should is not None
        contains, shows = _known(should.contains, row.contains), _known(should.shows, row.shows)
        rows.append(replace(row, contains=contains, shows=shows))
    return Table(tuple(rows), seen.geometry)


def _known(expected: Cells | None, seen: Cells | None) -> Cells | None:
    if expected is None or seen is None:
        return seen
    pairs = zip(expected, seen, strict=True)
    return tuple(should if should is UNDEFINED or isinstance(should, Perhaps) else is_ for should, is_ in pairs)


def difference(expected: Table, seen: Table) -> str:
    """The rows in which `seen` is not as expected, with the cells marked and named; "" if all is as expected.

    Raises ValueError if the two tables are of different geometries.
    """
    if expected.geometry != seen.geometry:
        raise ValueError(f"tables of different disks: {expected.geometry} and {seen.geometry}")
    drawing = [("", "", "contains", "shows")]
    words: list[str] = []
    for row in expected.rows:
        other = seen.row(row.name)
        if other is None:
            words.append(f"{row.name} was not measured")
            continue
        found = list(_differences(row, other, expected.geometry))
        words += found
        marks = _marks(row, other, expected.geometry)
        if any(mark.strip() for mark in marks):
            drawing.append((row.name, "expected", expected.drawn(row.contains), expected.drawn(row.shows)))
            drawing.append(("", "seen", seen.drawn(other.contains), seen.drawn(other.shows)))
            drawing.append(("", "", *marks))
    words += [f"{row.name} should not be there" for row in seen.rows if expected.row(row.name) is None]
    if not words:
        return ""
    return "\n".join([_aligned(drawing), *words] if len(drawing) > 1 else words)


def _columns(expected: Row, seen: Row) -> Iterator[tuple[str, Cells | None, Cells | None, bool]]:
    """Both columns of a row: heading, expected values, seen values, and whether holes and zeros are the same there."""
    yield "contains", expected.contains, seen.contains, expected.backing is None
    yield "shows", expected.shows, seen.shows, True


def _wrong(expected: Cells, seen: Cells, holes_read_zero: bool) -> list[int]:
    """The parts that are not as expected."""
    if len(expected) != len(seen):
        raise ValueError(f"{len(seen)} parts were measured, not {len(expected)}")
    pairs = list(zip(expected, seen, strict=True))
    # a disk has thousands of parts, of a few values
    agreed = {
        (should, is_): agrees(_part(should), _seen(is_), holes_read_zero=holes_read_zero) for should, is_ in set(pairs)
    }
    return [] if all(agreed.values()) else [i for i, pair in enumerate(pairs) if not agreed[pair]]


def _part(value: Part | Seen) -> Part:
    if isinstance(value, Shifted | Foreign | Torn):
        raise ValueError(f"nothing can be expected to be {in_words(value)}")
    return value


def _seen(value: Part | Seen) -> Seen:
    if isinstance(value, Perhaps):
        raise ValueError(f"nothing can be seen to be {in_words(value)}")
    return value


def _differences(expected: Row, seen: Row, geometry: Geometry) -> Iterator[str]:
    if expected.backing != seen.backing:
        yield f"{expected.name} should have {_file(expected.backing)} as backing file, has {_file(seen.backing)}"
    if expected.backing_format is not None and expected.backing_format != seen.backing_format:
        wanted, found = expected.backing_format, seen.backing_format or "nothing"
        yield f"{expected.name} should say that its backing file is {wanted}, says {found}"
    if expected.size is not None and expected.size != seen.size:
        yield f"{expected.name} should be a disk of {expected.size} bytes, is one of {seen.size}"
    for heading, should, is_, holes_read_zero in _columns(expected, seen):
        if should is None or is_ is None:
            if (should is None) != (is_ is None):
                yield f"{expected.name} {heading}: {'nothing was read' if is_ is None else 'should not be readable'}"
            continue
        wrong = _wrong(should, is_, holes_read_zero)
        if wrong:
            yield f"{expected.name} {heading}: " + "; ".join(_sentences(wrong, should, is_, geometry))
    if seen.beyond:
        yield f"{expected.name} past its last cell: {seen.beyond}"


def _file(name: str | None) -> str:
    return "none" if name is None else name


def _sentences(wrong: list[int], expected: Cells, seen: Cells, geometry: Geometry) -> Iterator[str]:
    """ "cell 3 should be B, is a hole": one for each stretch of parts that differ alike."""
    for _, group in groupby(enumerate(wrong), key=lambda item: _kind(item[0], item[1], expected, seen, geometry)):
        parts = [part for _, part in group]
        first = parts[0]
        where = _where(first, parts[-1], geometry)
        yield f"{where} should be {in_words(expected[first])}, is {in_words(seen[first])}"


def _kind(index: int, part: int, expected: Cells, seen: Cells, geometry: Geometry) -> tuple[object, ...]:
    """Equal for parts that lie side by side and differ alike."""
    value: object = seen[part]
    match value:
        case Shifted(label, from_offset, _):
            value = (label, from_offset - part * geometry.part_size)
        case Foreign() | Torn():
            value = type(value)
    return part - index, expected[part], value


def _where(first: int, last: int, geometry: Geometry) -> str:
    """The parts from `first` to `last` as cells if they are whole ones, else as bytes."""
    per_cell = geometry.parts_per_cell
    start, end = geometry.cell_of(first), geometry.cell_of(last)
    cells = f"cell {start}" if start == end else f"cells {start}-{end}"
    if first % per_cell == 0 and (last + 1) % per_cell == 0:
        return cells
    at = start * geometry.cell_size
    return f"{cells}, its bytes {first * geometry.part_size - at}-{(last + 1) * geometry.part_size - at - 1},"


def _marks(expected: Row, seen: Row, geometry: Geometry) -> tuple[str, str]:
    """A `^` under each cell of contains and shows that is not as expected."""
    marks = []
    for _, should, is_, holes_read_zero in _columns(expected, seen):
        cells: set[int] = set()
        if should is not None and is_ is not None:
            cells = {geometry.cell_of(part) for part in _wrong(should, is_, holes_read_zero)}
        marks.append("".join("^" if cell in cells else " " for cell in range(geometry.cells)))
    contains, shows = marks
    return contains, shows


def _aligned(lines: Sequence[tuple[str, ...]]) -> str:
    """`lines` with every column as wide as its widest entry."""
    widths = [max(len(entry) for entry in column) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(entry.ljust(width) for entry, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
