"""What a job's target holds, and the guest sees, while the guest writes during the job."""

from __future__ import annotations

from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.image import Qcow2, mirror_granularity
from harness.oracle.parts import HOLE, UNDEFINED, ZERO, Perhaps
from harness.tests.oracle.disks import SMALL

LARGE = Geometry(cells=4)
PART = SMALL.part_size
FIRST = ((0, PART),)
SUBCLUSTERS = Qcow2(131072, subclusters=True)


def test_a_mirror_copies_the_rest_of_its_granularity_with_a_write_of_the_guest() -> None:
    disk = Content.new("base", LARGE, SUBCLUSTERS).snapshot("top", Qcow2(4096))
    copied = mirror_granularity(SUBCLUSTERS) // PART

    own = disk.active_commit("base").ready().write("B", ranges=FIRST).pivot().contains("base")

    assert own == ("B", *(ZERO,) * (copied - 1), *(HOLE,) * (LARGE.parts - copied))


def test_what_is_written_as_it_is_in_the_target_already_stays_certain_there() -> None:
    ready = Content.new("base", SMALL).snapshot("top").write("B", (0,)).active_commit("base").ready()

    assert set(ready.write("B", (0,)).contains("base")[:4]) == {"B"}
    assert set(ready.write("C", (0,)).write("B", (0,)).contains("base")[:4]) == {UNDEFINED}


def test_zeros_over_a_hole_are_in_the_target_or_not_yet_there() -> None:
    ready = Content.new("base", SMALL, Qcow2(4096)).snapshot("top", Qcow2(4096)).active_commit("base").ready()

    assert ready.zero(ranges=FIRST).contains("base") == (Perhaps(ZERO), *(HOLE,) * (SMALL.parts - 1))


def test_a_mirror_may_copy_what_a_write_in_flight_may_have_copied_up_into_a_larger_cluster() -> None:
    disk = Content.new("base", LARGE).snapshot("top", Qcow2(131072))

    own = disk.active_commit("base").begin_write("F", ranges=FIRST).contains("base")

    assert own == (UNDEFINED, *(Perhaps(ZERO),) * 31, *(HOLE,) * 32)


def test_the_guest_sees_a_write_in_flight_of_what_is_there_as_that_also_during_a_commit() -> None:
    busy = Content.new("base", SMALL).write("A", (0,)).snapshot("top").active_commit("base")

    begun = busy.begin_write("A", (0,))

    assert set(begun.contains("base")[:4]) == {UNDEFINED}
    assert set(begun.guest()[:4]) == {"A"}


def test_a_write_of_the_guest_during_a_pull_is_no_mirrors() -> None:
    """It is seen at once, and nothing is copied with it but the rest of what the format allocates."""
    pulling = Content.new("base", LARGE).write("A", (3,)).snapshot("top", SUBCLUSTERS).pull()

    busy = pulling.write("B", ranges=FIRST)

    assert busy.contains("top")[:32] == ("B", *(HOLE,) * 31)
    assert busy.completed().contains("top")[:32] == ("B", *(HOLE,) * 31)
