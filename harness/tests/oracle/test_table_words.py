"""What a difference between tables says: every kind of it, in exactly these words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.oracle.geometry import Geometry
from harness.oracle.parts import HOLE, ZERO, Foreign, Perhaps, Shifted, Torn
from harness.oracle.table import Cells, Row, Table, difference

ONE = Geometry(cells=4, cell_size=4096, part_size=4096)
TWO = Geometry(cells=2, cell_size=8192, part_size=4096)
A: Cells = ("A",) * 4


def table(*rows: Row, geometry: Geometry = ONE) -> Table:
    return Table(rows, geometry)


def said(expected: Row, seen: Row, geometry: Geometry = ONE) -> list[str]:
    """The words, without the drawing."""
    lines = difference(table(expected, geometry=geometry), table(seen, geometry=geometry)).splitlines()
    return [line for line in lines if " should " in line or ": " in line]


ROW = Row("base", A, A, "below", size=16384, backing_format="qcow2")


def test_headers_that_differ() -> None:
    assert said(ROW, replace(ROW, backing=None)) == ["base should have below as backing file, has none"]
    assert said(replace(ROW, backing=None), ROW) == ["base should have none as backing file, has below"]
    assert said(ROW, replace(ROW, backing_format="raw")) == ["base should say that its backing file is qcow2, says raw"]
    assert said(ROW, replace(ROW, backing_format=None)) == [
        "base should say that its backing file is qcow2, says nothing"
    ]
    assert said(replace(ROW, backing_format=None), ROW) == []
    assert said(ROW, replace(ROW, size=512)) == ["base should be a disk of 16384 bytes, is one of 512"]
    assert said(replace(ROW, size=None), ROW) == []


def test_a_hole_that_reads_as_zeros_is_no_difference_in_what_is_shown_nor_marked() -> None:
    expected = Row("base", (HOLE, "A", "A", "A"), (HOLE, "A", "A", "A"), "below")
    seen = Row("base", (HOLE, "B", "A", "A"), (ZERO, "B", "A", "A"), "below")

    assert difference(table(expected), table(expected)) == ""
    assert difference(table(expected), table(seen)) == (
        "                contains  shows\n"
        "base  expected  -AAA      -AAA\n"
        "      seen      -BAA      0BAA\n"
        "                 ^         ^\n"
        "base contains: cell 1 should be A, is B\n"
        "base shows: cell 1 should be A, is B"
    )


def test_a_row_that_was_not_measured_hides_no_other() -> None:
    other = Row("other", A, A)

    assert difference(table(ROW, other), table(replace(other, contains=("B", *A[1:])))).splitlines() == [
        "                 contains  shows",
        "other  expected  AAAA      AAAA",
        "       seen      BAAA      AAAA",
        "                 ^",
        "base was not measured",
        "other contains: cell 0 should be A, is B",
    ]


def test_stretches_that_differ_alike_are_told_together_and_others_are_not() -> None:
    def contains(*seen: object) -> str:
        (line,) = said(Row("base", A, None), Row("base", tuple(seen), None))  # type: ignore[arg-type]
        return line.removeprefix("base contains: ")

    assert contains("B", "A", "B", "B") == "cell 0 should be A, is B; cells 2-3 should be A, is B"
    assert contains("B", "C", "A", "A") == "cell 0 should be A, is B; cell 1 should be A, is C"
    moved = [Shifted("A", (part + 1) * 4096, part + 1) for part in range(2)]
    assert contains(*moved, "A", "A").startswith("cells 0-1 should be A, is layer A's cell 1 (byte 4096")
    still = [Shifted("A", 0, 0), Shifted("A", 0, 0)]
    assert contains("A", "A", *still).count("should be A") == 2
    assert contains(Foreign("x"), Foreign("y"), Torn("z"), "A") == (
        "cells 0-1 should be A, is foreign: x; cell 2 should be A, is torn: z"
    )


def test_parts_of_cells_are_told_by_their_bytes() -> None:
    expected, seen = Row("base", A, None), Row("base", ("A", "B", "A", "A"), None)

    assert said(expected, seen, TWO) == ["base contains: cell 0, its bytes 4096-8191, should be A, is B"]


def test_what_cannot_be_is_refused_in_words() -> None:
    def refused(expected: object, seen: object, words: str) -> None:
        with pytest.raises(ValueError, match=f"^{words}$"):
            said(Row("base", (expected,) * 4, None), Row("base", seen, None))  # type: ignore[arg-type]

    refused("A", ("A",) * 3, "3 parts were measured, not 4")
    refused(Torn("x"), ("A",) * 4, "nothing can be expected to be torn: x")
    refused("A", (Perhaps("A"),) * 4, "nothing can be seen to be a hole or A")


def test_a_table_without_contents_keeps_what_lies_past_the_last_cell() -> None:
    row = Row("base", A, A, None, beyond="512 bytes")

    assert table(row).without_contents().rows == (Row("base", None, A, None, beyond="512 bytes"),)
