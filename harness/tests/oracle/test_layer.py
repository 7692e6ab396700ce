"""What a write leaves in the rest of a cluster, and what is certain of it."""

from __future__ import annotations

import pytest

from harness.oracle.geometry import Geometry
from harness.oracle.image import Qcow2
from harness.oracle.layer import Layer, in_doubt, seen_through, union, written
from harness.oracle.parts import HOLE, UNDEFINED, ZERO, Blank, Part, Perhaps

GEOMETRY = Geometry(cells=1)
PARTS = GEOMETRY.parts
UNIT = 2
FORMAT = Qcow2(UNIT * GEOMETRY.part_size)


def _after(held: Part, shown: Part, value: Part) -> Part:
    """What the second part of a cluster, which held and showed this, holds after `value` was written to the first."""
    layer = Layer((HOLE, held, *(HOLE,) * (PARTS - 2)), "base", GEOMETRY.size, FORMAT)
    return written(layer, (ZERO, shown, *(HOLE,) * (PARTS - 2)), {0: value}, GEOMETRY)[1]


@pytest.mark.parametrize(
    ("held", "shown", "value", "holds"),
    [
        (HOLE, "A", "W", "A"),
        (HOLE, HOLE, "W", ZERO),
        (HOLE, "A", UNDEFINED, Perhaps("A")),
        (HOLE, HOLE, UNDEFINED, Perhaps(ZERO)),
        (Perhaps("A"), "A", "W", "A"),
        (Perhaps("A"), "A", UNDEFINED, Perhaps("A")),
        ("B", "B", "W", "B"),
        (HOLE, "A", Perhaps("W"), Perhaps("A")),
        (Perhaps("A"), "A", Perhaps("W"), Perhaps("A")),
    ],
)
def test_the_rest_of_a_cluster_is_copied_for_certain_only_if_something_is_written_for_certain(
    held: Part, shown: Part, value: Part, holds: Part
) -> None:
    assert _after(held, shown, value) == holds


def test_a_cluster_is_allocated_for_certain_by_any_part_that_is_written_for_certain() -> None:
    layer = Layer((HOLE,) * PARTS, "base", GEOMETRY.size, Qcow2(4 * GEOMETRY.part_size))
    shown = ("A",) * PARTS

    assert written(layer, shown, {0: UNDEFINED, 1: "W"}, GEOMETRY)[:5] == (UNDEFINED, "W", "A", "A", HOLE)


def test_a_guests_write_allocates_a_unit_of_the_format_and_a_mirrors_a_larger_one() -> None:
    layer = Layer((HOLE,) * PARTS, "base", GEOMETRY.size, Qcow2(131072, subclusters=True))
    shown = ("A",) * PARTS

    assert written(layer, shown, {0: "W"}, GEOMETRY) == ("W", *(HOLE,) * (PARTS - 1))
    assert written(layer, shown, {0: "W"}, GEOMETRY, by_mirror=True) == ("W", *("A",) * (PARTS - 1))


@pytest.mark.parametrize(
    ("held", "shown", "copied", "holds"),
    [
        (HOLE, "A", "A", Perhaps("A")),
        (HOLE, HOLE, ZERO, Perhaps(ZERO)),
        (HOLE, "B", "A", UNDEFINED),
        (Perhaps("A"), "A", "A", Perhaps("A")),
        ("A", "A", "A", "A"),
        (ZERO, ZERO, "A", UNDEFINED),
        (UNDEFINED, UNDEFINED, "A", UNDEFINED),
    ],
)
def test_what_is_written_perhaps_makes_doubtful_only_what_may_become_another(
    held: Part, shown: Part, copied: str | Blank, holds: Part
) -> None:
    layer = Layer((held, *(HOLE,) * (PARTS - 1)), "base", GEOMETRY.size, FORMAT)

    assert written(layer, (shown, *(HOLE,) * (PARTS - 1)), {0: Perhaps(copied)}, GEOMETRY)[0] == holds


@pytest.mark.parametrize(
    ("part", "under", "folded"),
    [
        ("A", "B", "A"),
        (ZERO, "B", ZERO),
        (UNDEFINED, "B", UNDEFINED),
        (HOLE, "B", "B"),
        (HOLE, Perhaps("B"), Perhaps("B")),
        (HOLE, HOLE, HOLE),
        ("A", Perhaps("B"), "A"),
        (Perhaps("A"), "A", "A"),
        (Perhaps("A"), "B", UNDEFINED),
        (Perhaps("A"), HOLE, Perhaps("A")),
        (Perhaps("A"), Perhaps("A"), Perhaps("A")),
    ],
)
def test_of_two_layers_folded_into_one_the_upper_counts_where_it_is_no_hole(
    part: Part, under: Part, folded: Part
) -> None:
    assert union([(under,), (part,)]) == (folded,)


def test_what_is_perhaps_a_copy_reads_as_it_only_over_what_reads_the_same() -> None:
    assert seen_through(Perhaps("A"), "A") == "A"
    assert seen_through(Perhaps(ZERO), HOLE) is HOLE
    assert seen_through(Perhaps("A"), "B") is UNDEFINED


@pytest.mark.parametrize(
    ("before", "after", "read", "holds"),
    [
        ("A", "A", "A", "A"),
        (HOLE, "A", "A", Perhaps("A")),
        (HOLE, "A", "B", UNDEFINED),
        (Perhaps("A"), "A", "A", Perhaps("A")),
        (Perhaps("B"), "A", "A", UNDEFINED),
        ("B", "A", "A", UNDEFINED),
    ],
)
def test_while_a_job_changes_a_part_it_is_certain_what_it_reads_if_that_stays(
    before: Part, after: Part, read: Part, holds: Part
) -> None:
    assert in_doubt((before,), (after,), (read,)) == (holds,)
