"""What mutants of the oracle have shown that no other test held it to: its edges, and the words of its refusals."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from harness.oracle.content import Content, Impossible
from harness.oracle.documented import T0 as DOCUMENTED
from harness.oracle.documented import as_documented
from harness.oracle.geometry import Geometry
from harness.oracle.image import QCOW2
from harness.oracle.job import End
from harness.oracle.layer import either
from harness.oracle.parts import HOLE, UNDEFINED, ZERO, Foreign, Perhaps, Torn, Written, agrees, character, in_words
from harness.oracle.pattern import decode, fill, marker
from harness.oracle.table import Row, Table, known
from harness.tests.oracle.disks import SMALL, seed_at_t0

PART, CELL = SMALL.part_size, SMALL.cell_size
FIRST = ((0, PART),)
RUN, OTHER = "1a2b3c4d", "99999999"


def small() -> Content:
    """Base <- top, with A in cell 1 of base; all flushed."""
    return Content.new("base", SMALL).write("A", (1,)).flush().snapshot("top")


def refused(do: Callable[[], object], words: str) -> None:
    """Refused in exactly these words."""
    with pytest.raises(Impossible, match=f"^{re.escape(words)}$"):
        do()


# what is refused, and in which words


def test_nothing_but_its_end_can_be_done_to_a_disk_with_a_job() -> None:
    busy = small().active_commit("base")

    for do, what in (
        (lambda: busy.resize(1 << 20), "a resize"),
        (lambda: busy.snapshot("more"), "a snapshot"),
        (lambda: busy.reuse("base"), "a snapshot"),
        (lambda: busy.active_commit("base"), "an active commit"),
        (lambda: busy.commit("base", "base"), "a commit"),
        (lambda: busy.pull(), "a pull"),
        (lambda: busy.copy("copy"), "a copy"),
    ):
        refused(do, f"{what} cannot begin during {busy.job}")


def test_a_disk_may_stay_as_large_as_it_is_and_not_lose_a_cell() -> None:
    assert small().resize(SMALL.size).size == SMALL.size
    refused(lambda: small().resize(SMALL.size - 512), f"a disk of {SMALL.size - 512} bytes has no room for 4 cells")


def test_only_an_empty_image_on_the_active_one_can_be_made_the_active_one() -> None:
    beside = small().add("empty", QCOW2, "top").add("elsewhere", QCOW2, "base")
    written = beside.write_image("empty", "B", (0,))

    assert beside.write("C", (0,)).reuse("empty").unflushed == frozenset()
    refused(lambda: beside.reuse("elsewhere"), "elsewhere is no empty image on top")
    refused(lambda: written.reuse("empty"), "empty is no empty image on top")


def test_what_is_in_use_cannot_be_removed_and_all_else_can_also_during_a_job() -> None:
    copied = small().add("beside", QCOW2).copy("copy")

    assert "beside" not in copied.remove("beside").layers
    refused(lambda: copied.remove("copy"), "copy is in use")
    refused(lambda: copied.remove("base"), "base is in use")


# writes in flight


def test_a_write_in_flight_may_be_of_bytes_and_has_a_label() -> None:
    begun = small().begin_write("B", ranges=FIRST)

    assert dict(begun.in_flight) == {0: "B"}
    with pytest.raises(ValueError, match="is no label"):
        small().begin_write("b", (0,))
    refused(lambda: begun.begin_write("C", (0,)), "a write to some of these parts is in flight already")


def test_what_is_waited_for_is_in_flight_no_longer_and_a_label_is_seen() -> None:
    done = small().begin_write("B", (0,)).end_write()

    assert done.in_flight == {}
    assert set(done.guest()[:4]) == {"B"}


def test_a_new_write_takes_the_place_of_what_was_acknowledged() -> None:
    """A write that met a snapshot, in whichever image it is, and then another one there."""
    met = small().begin_write("B", (0,)).snapshot("more").end_write()
    assert set(met.acknowledged.values()) == {"B"}

    again = met.begin_write("C", (0,))

    assert again.acknowledged == {}
    assert set(again.end_write().guest()[:4]) == {"C"}


def test_a_write_in_flight_leaves_the_target_of_a_mirror_in_doubt() -> None:
    begun = small().active_commit("base").ready().begin_write("B", (1,))

    assert set(begun.contains("base")[4:8]) == {UNDEFINED}
    assert set(begun.contains("base")[:4]) == {ZERO}  # a mirror copies 64 KiB at once


# what the host writes


def test_the_host_writes_a_label_into_an_image() -> None:
    disk = small().write_image("base", "B", (0,), ((2 * CELL, PART),))

    assert set(disk.contains("base")[:4]) == {"B"}
    assert disk.contains("base")[8] == "B"
    assert "B" not in small().write_image("base", "C", ranges=FIRST).contains("base")


# crashes, and what nobody knows


def test_a_crash_leaves_nothing_to_be_flushed_and_the_end_of_a_job_that_is_perhaps_told() -> None:
    crashed = small().active_commit("base").write("B", (0,)).crash()

    assert crashed.unflushed == frozenset()
    assert crashed.ends == (End("active-commit", "failed", certain=False),)


def test_a_part_that_was_written_and_written_back_during_a_commit_may_be_any_of_it_after_a_crash() -> None:
    busy = small().active_commit("base").write("B", (1,)).write("A", (1,))
    assert set(busy.contains("base")[4:8]) == {UNDEFINED}

    assert set(busy.crash().contains("base")[4:8]) == {UNDEFINED}


def test_of_two_contents_what_only_one_has_stays_and_what_either_has_not_flushed_is_not_flushed() -> None:
    one = small().add("beside", QCOW2).write("B", (0,))
    other = small().write("B", (0,)).flush().write("C", (2,))

    both = one.either(other)

    assert both.layers["beside"] == one.layers["beside"]
    assert both.unflushed == frozenset((*range(4), *range(8, 12)))
    with pytest.raises(ValueError, match="zip"):
        either((HOLE,), ())


# parts and words


def test_a_hole_or_zeros_is_what_reads_as_zeros_where_that_is_the_same() -> None:
    assert agrees(Perhaps(HOLE), ZERO, holes_read_zero=True)
    assert not agrees(Perhaps(HOLE), ZERO, holes_read_zero=False)


def test_a_cell_of_one_part_is_drawn_by_it() -> None:
    assert character(("A",)) == "A"


def test_parts_that_nobody_can_know_are_told_in_words() -> None:
    assert in_words(UNDEFINED) == "undefined"
    assert in_words(Perhaps("A")) == "a hole or A"


# patterns


@pytest.mark.parametrize(
    ("length", "offset", "unit", "cell"),
    [(512, 0, 1024, 4096), (1024, 512, 1024, 4096), (768, 0, 768, 4608), (1024, 0, 1024, 4608)],
    ids=["length", "offset", "unit", "cell"],
)
def test_only_whole_units_of_sectors_and_cells_of_them_are_decoded(
    length: int, offset: int, unit: int, cell: int
) -> None:
    words = f"{length} bytes at {offset} are not whole units of {unit} bytes in cells of {cell}"
    with pytest.raises(ValueError, match=f"^{words}$"):
        decode(bytes(length), offset, RUN, cell, unit)


def test_foreign_bytes_are_told_by_the_first_sixteen() -> None:
    data = bytes(range(1, 65)) * 8

    assert decode(data, 0, RUN, 4096) == [Foreign("01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10")]
    assert decode(bytes(range(1, 129)) * 4, 0, RUN, 4096) == [
        Foreign("01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10")
    ]


def test_a_unit_that_begins_foreign_and_goes_on_otherwise_is_torn() -> None:
    data = b"\1" * 512 + bytes(512)

    assert decode(data, 0, RUN, 4096, unit=1024) == [Torn(f"sector 0 foreign ({' '.join(['01'] * 16)}), sector 1 zero")]


def test_a_torn_sector_is_told_by_its_lines() -> None:
    line = fill("A", RUN, 0, 512, 4096)[:64]
    torn = "line 0 layer A of byte 0, run 1a2b3c4d, line 1 foreign ({}), lines 2-7 zero".format(" ".join(["01"] * 16))

    assert decode(line + b"\1" * 64 + bytes(384), 0, RUN, 4096) == [Torn(torn)]
    whole = decode(line + b"\1" * 64 + bytes(384) + bytes(512), 0, RUN, 4096, unit=1024)
    assert whole == [Torn(f"sector 0 torn ({torn}), sector 1 zero")]


def test_a_marker_is_the_pattern_of_each_range_one_after_the_other() -> None:
    assert marker("A", RUN, ((512, 512), (4096, 1024)), 4096) == (
        fill("A", RUN, 512, 512, 4096) + fill("A", RUN, 4096, 1024, 4096)
    )


def test_cells_that_hold_something_else_each_are_decoded_one_by_one() -> None:
    data = fill("A", RUN, 0, 512, 1024) + bytes(512) + fill("B", RUN, 1024, 512, 1024) + bytes(512)

    assert decode(data, 0, RUN, 1024) == [Written("A"), ZERO, Written("B"), ZERO]


# tables


def test_the_documented_layers_are_as_documented() -> None:
    assert as_documented(seed_at_t0().table()) == DOCUMENTED


def test_a_table_says_of_each_image_how_large_it_is_and_what_format_is_below() -> None:
    table = small().resize(SMALL.size + 4096).table()

    told = {row.name: (row.size, row.backing_format) for row in table.rows}
    assert told == {
        "base": (SMALL.size, None),
        "top": (SMALL.size + 4096, "qcow2"),
        "guest": (SMALL.size + 4096, None),
    }


def test_what_nobody_could_expect_is_as_expected_in_what_is_known() -> None:
    undefined = small().active_commit("base").ready().begin_write("B", (1,)).table()
    seen = small().table()

    certain = known(undefined, seen)

    row, was = certain.row("base"), seen.row("base")
    assert row is not None
    assert was is not None
    assert row.contains is not None
    assert row.shows is not None
    assert was.shows is not None
    assert set(row.contains[4:8]) == set(row.shows[4:8]) == {UNDEFINED}
    assert row.shows[8:] == was.shows[8:]
    unread = Table((Row("base", None, None),), SMALL)
    assert known(undefined, unread).rows == unread.rows
    with pytest.raises(ValueError, match="zip"):
        known(undefined, Table((Row("base", (HOLE,), (HOLE,)),), SMALL))


def test_a_table_without_contents_has_what_is_shown() -> None:
    table = seed_at_t0().table()

    assert [(row.name, row.contains, row.shows) for row in table.without_contents().rows] == [
        (row.name, None, row.shows) for row in table.rows
    ]
    assert table.without_contents().geometry == Geometry()
