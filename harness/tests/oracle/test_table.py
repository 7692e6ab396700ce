"""A difference between two tables names every row and cell that differs, and nothing else."""

from dataclasses import replace

import pytest

from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.parts import HOLE, UNDEFINED, ZERO, Foreign, Seen, Shifted, Torn, agrees
from harness.oracle.table import Table, difference, known
from harness.tests.oracle.disks import seed_at_t0

CELL = 65536


def changed(table: Table, name: str, column: str, values: dict[int, Seen]) -> Table:
    """`table` with other values for parts of one row."""
    row = table.row(name)
    assert row is not None
    cells = list((row.contains if column == "contains" else row.shows) or ())
    for part, value in values.items():
        cells[part] = value
    other = replace(row, contains=tuple(cells)) if column == "contains" else replace(row, shows=tuple(cells))
    return replace(table, rows=tuple(other if each is row else each for each in table.rows))


def cell(number: int, value: Seen) -> dict[int, Seen]:
    return dict.fromkeys(range(number * 16, number * 16 + 16), value)


def test_equal_tables_do_not_differ() -> None:
    assert difference(seed_at_t0().table(), seed_at_t0().table()) == ""


def test_a_difference_shows_the_row_marks_the_cell_and_says_it_in_words() -> None:
    seen = changed(seed_at_t0().table(), "sn1", "contains", cell(3, HOLE))

    assert difference(seed_at_t0().table(), seen) == (
        "               contains      shows\n"
        "sn1  expected  --BBBB------  AABBBB------\n"
        "     seen      --B-BB------  AABBBB------\n"
        "                  ^\n"
        "sn1 contains: cell 3 should be B, is a hole"
    )


def test_every_row_that_differs_is_there() -> None:
    seen = changed(seed_at_t0().table(), "cur", "shows", {**cell(1, "D"), **cell(2, "D"), **cell(11, "E")})
    seen = changed(seen, "guest", "shows", cell(0, ZERO))

    assert difference(seed_at_t0().table(), seen) == (
        "                 contains      shows\n"
        "cur    expected  D-------DD--  DABBBCCCDD--\n"
        "       seen      D-------DD--  DDDBBCCCDD-E\n"
        "                                ^^        ^\n"
        "guest  expected                DABBBCCCDD--\n"
        "       seen                    0ABBBCCCDD--\n"
        "                               ^\n"
        "cur shows: cell 1 should be A, is D; cell 2 should be B, is D; cell 11 should be a hole, is E\n"
        "guest shows: cell 0 should be D, is zero"
    )


def test_cells_side_by_side_that_differ_alike_are_named_together_and_part_of_a_cell_by_its_bytes() -> None:
    seen = changed(seed_at_t0().table(), "sn1", "shows", {**cell(2, "A"), **cell(3, "A"), 83: "C", 84: "C"})

    said = difference(seed_at_t0().table(), seen).splitlines()[-1]
    assert said == ("sn1 shows: cells 2-3 should be B, is A; cell 5, its bytes 12288-20479, should be B, is C")


def test_a_block_at_a_wrong_place_is_explained() -> None:
    shifted: dict[int, Seen] = {3 * 16 + i: Shifted("C", 5 * CELL + i * 4096, 5) for i in range(16)}
    seen = changed(seed_at_t0().table(), "sn1", "shows", shifted)
    seen = changed(seen, "sn2", "shows", cell(0, Foreign("run 12345678, layer A, byte 0")))
    seen = changed(seen, "sn2", "contains", {7 * 16: Torn("lines 0-2 zero, lines 3-7 layer C")})

    said = difference(seed_at_t0().table(), seen)
    assert "AAB!BB------" in said
    assert "sn1 shows: cell 3 should be B, is layer C's cell 5 (byte 327680 of the disk): shifted" in said
    assert "sn2 shows: cell 0 should be A, is foreign: run 12345678, layer A, byte 0" in said
    assert ("sn2 contains: cell 7, its bytes 0-4095, should be C, is torn: lines 0-2 zero, lines 3-7 layer C") in said


def test_rows_too_many_or_too_few_and_other_backing_files_are_differences() -> None:
    expected = seed_at_t0().table()
    cur = expected.row("cur")
    assert cur is not None
    rebased = replace(expected, rows=(*expected.rows[:3], replace(cur, backing="base"), *expected.rows[4:]))

    assert difference(expected, seed_at_t0().table(guest=False)) == "guest was not measured"
    assert difference(seed_at_t0().table(guest=False), expected) == "guest should not be there"
    assert difference(expected, rebased).endswith("cur should have sn2 as backing file, has base")


def test_what_lies_past_the_last_cell_and_what_could_not_be_read_are_differences() -> None:
    expected = seed_at_t0().table()
    base, sn1 = expected.rows[:2]
    seen = replace(expected, rows=(replace(base, beyond="byte 786432 is C"), sn1, *expected.rows[2:]))
    unread = replace(expected, rows=(base, replace(sn1, shows=None), *expected.rows[2:]))

    assert difference(expected, seen).endswith("base past its last cell: byte 786432 is C")
    assert difference(expected, unread).endswith("sn1 shows: nothing was read")
    assert difference(unread, expected).endswith("sn1 shows: should not be readable")


def test_a_hole_and_zeros_are_told_apart_only_where_a_backing_file_could_shine_through() -> None:
    disk = Content.new("base").zero((0,)).snapshot("cur").zero((1,))
    base_as_read = changed(disk.table(), "base", "contains", cell(0, HOLE))
    cur_as_read = changed(disk.table(), "cur", "contains", cell(1, HOLE))

    assert difference(disk.table(), base_as_read) == ""
    assert difference(disk.table(), cur_as_read).endswith("cur contains: cell 1 should be zero, is a hole")


@pytest.mark.parametrize("seen", ["A", ZERO, HOLE, Torn(""), Foreign(""), Shifted("A", 0, 0)])
def test_undefined_agrees_with_anything(seen: Seen) -> None:
    assert agrees(UNDEFINED, seen, holes_read_zero=False)


@pytest.mark.parametrize("seen", [ZERO, HOLE, "B", Torn(""), Foreign(""), Shifted("A", 0, 0)])
def test_a_label_agrees_with_itself_alone(seen: Seen) -> None:
    assert agrees("A", "A", holes_read_zero=True)
    assert not agrees("A", seen, holes_read_zero=True)


def test_tables_of_different_disks_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different disks"):
        difference(Content.new("base").table(), Content.new("base", Geometry(cells=3)).table())


def test_parts_that_differ_and_parts_undefined_have_characters_of_their_own() -> None:
    disk = (
        Content.new("base").write("A", (0,)).write("B", ranges=[(0, 4096)]).flush().write("C", (2,)).crash().zero((3,))
    )

    assert disk.table().drawn(disk.guest()) == "~-?0--------"


def test_what_nobody_can_expect_is_as_expected_in_what_is_known() -> None:
    content = Content.new("base").write("A", (0, 1)).crash()
    seen = Content.new("base").write("B", (0, 2)).table()

    assert known(content.table(), seen).drawn(known(content.table(), seen).rows[0].contains) == "??B---------"
