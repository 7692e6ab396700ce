"""What a job copies besides what it must: whole clusters, on read and on write."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.image import Format, Qcow2, Raw, mirror_granularity
from harness.oracle.layer import alike, union
from harness.oracle.parts import HOLE, UNDEFINED, ZERO, Part, Perhaps
from harness.tests.oracle.disks import SMALL

LARGE = Geometry(cells=4)
PART = SMALL.part_size


def test_a_pull_copies_the_rest_of_a_cluster_from_below_it() -> None:
    """Base <- low <- high <- top: clusters of one part above base, and of four in top."""
    disk = Content.new("base", SMALL, Qcow2(4096)).write("A", (0,))
    disk = disk.snapshot("low", Qcow2(4096)).write("B", ranges=((0, PART),))
    disk = disk.snapshot("high", Qcow2(4096)).write("C", ranges=((4 * PART, PART),))

    pulled = disk.snapshot("top", Qcow2(16384)).pull("base").completed()

    assert pulled.contains("top") == ("B", "A", "A", "A", "C", ZERO, ZERO, ZERO, *(HOLE,) * 8)


def test_a_pull_may_copy_a_whole_cluster_where_it_must_copy_a_subcluster() -> None:
    disk = Content.new("base", LARGE, Qcow2(4096)).write("A", (1,))
    disk = disk.snapshot("low", Qcow2(4096)).write("B", ranges=((16 * PART, PART),))

    pulled = disk.snapshot("top", Qcow2(131072, subclusters=True)).pull("base").completed()

    own = pulled.contains("top")
    assert own[16] == "B"
    assert set(own[:16]) == {Perhaps(ZERO)}
    assert set(own[17:32]) == {Perhaps("A")}
    assert set(own[32:]) == {HOLE}


def test_a_pull_may_copy_the_rest_of_a_cluster_where_what_it_copies_may_not_be_there() -> None:
    """Base <- low <- mid <- top: in mid, a write that a crash may have lost, or a pull that was given up."""
    disk = Content.new("base", SMALL, Qcow2(4096)).write("A", ranges=((0, PART),)).flush()
    mid = disk.snapshot("low", Qcow2(4096)).snapshot("mid", Qcow2(4096))
    lost = mid.write("B", ranges=((PART, PART),)).crash().snapshot("top", Qcow2(16384))
    given_up = mid.pull().abort().snapshot("top", Qcow2(16384))
    written = mid.pull().abort().write("B", ranges=((PART, PART),)).snapshot("top", Qcow2(16384))

    def pulled(disk: Content) -> Sequence[Part]:
        return disk.pull("low").completed().contains("top")

    assert pulled(lost) == (Perhaps("A"), UNDEFINED, *(Perhaps(ZERO),) * 2, *(HOLE,) * 12)
    assert pulled(given_up) == (Perhaps("A"), *(Perhaps(ZERO),) * 3, *(HOLE,) * 12)
    assert pulled(written) == ("A", "B", *(ZERO,) * 2, *(HOLE,) * 12)


def test_a_pull_fills_for_certain_what_one_before_it_that_was_given_up_may_have_filled() -> None:
    """Base <- low <- top, of larger clusters: A is in base, and B in low, next to it."""
    disk = Content.new("base", SMALL, Qcow2(4096)).write("A", ranges=((0, PART),))
    disk = disk.snapshot("low", Qcow2(4096)).write("B", ranges=((PART, PART),)).snapshot("top", Qcow2(16384))

    pulled = disk.pull().abort().pull("base").completed()

    assert pulled.contains("top") == ("A", "B", *(ZERO,) * 2, *(HOLE,) * 12)


def test_a_mirror_may_copy_what_a_write_has_copied_up_into_a_larger_cluster() -> None:
    disk = Content.new("base", LARGE).snapshot("top", Qcow2(131072))

    ready = disk.active_commit("base").write("F", ranges=((0, PART),)).ready()

    own = ready.contains("base")
    assert own[0] == "F"
    assert set(own[1:16]) == {ZERO}
    assert set(own[16:32]) == {Perhaps(ZERO)}
    assert set(own[32:]) == {HOLE}


def test_a_write_in_flight_is_in_doubt_in_the_target_when_it_is_ready() -> None:
    disk = Content.new("base", SMALL).write("A", (1,)).snapshot("top")

    assert set(disk.active_commit("base").begin_write("B", (1,)).ready().contains("base")[4:8]) == {UNDEFINED}


def test_what_was_not_flushed_before_a_pivot_is_flushed_by_it() -> None:
    ready = Content.new("base", SMALL).snapshot("top").active_commit("base").ready().write("B", (1,))

    assert ready.unflushed
    assert ready.pivot().unflushed == frozenset()


def test_a_discard_during_a_copy_changes_nothing_that_reads_as_zeros_in_an_image_without_a_backing_file() -> None:
    disk = Content.new("base", SMALL).write("A", (1,)).copy("copy")

    own = disk.discard((0, 1)).contains("base")

    assert set(own[:4]) == {ZERO}  # of the cluster that the write has allocated
    assert set(own[4:8]) == {UNDEFINED}


def test_a_commit_copies_subclusters_and_an_active_one_what_a_mirror_copies_together() -> None:
    base = Content.new("base", LARGE, Qcow2(131072, subclusters=True))
    disk = base.snapshot("mid", Qcow2(4096)).write("B", ranges=((0, PART),))

    committed = disk.snapshot("top").commit("mid", "base").completed()

    assert committed.contains("base")[:2] == ("B", HOLE)
    assert disk.active_commit("base").ready().contains("base")[:17] == ("B", *(ZERO,) * 15, HOLE)


def test_a_discard_during_a_commit_below_is_as_certain_as_any() -> None:
    disk = Content.new("base", SMALL).snapshot("mid").snapshot("top", Qcow2(4096)).write("B", (0,))

    discarded = disk.commit("mid", "base").discard((0,))

    assert set(discarded.contains("top")[:4]) == {ZERO}


def test_a_discard_takes_the_place_of_what_was_acknowledged() -> None:
    met = Content.new("base", SMALL).begin_write("B", (0,)).snapshot("more").end_write()

    assert met.acknowledged
    assert met.discard((0,)).acknowledged == {}


def test_zeros_of_its_own_stay_zeros_in_an_overlay_that_is_copied() -> None:
    disk = Content.new("base", SMALL).write("A", (0,)).snapshot("top", Qcow2(4096)).zero((0,)).copy("copy")

    assert set(disk.discard((0,)).contains("top")[:4]) == {ZERO}


def test_a_mirror_copies_64_kib_at_most_and_4_kib_at_least_and_whole_units() -> None:
    granularity: dict[Format, int] = {
        Qcow2(512): 4096,
        Qcow2(16384): 16384,
        Qcow2(131072): 131072,
        Qcow2(131072, subclusters=True): 65536,
        Raw(): 65536,
    }
    assert {form: mirror_granularity(form) for form in granularity} == granularity


def test_a_hole_and_zeros_read_alike_and_layers_are_as_long_as_each_other() -> None:
    assert alike(HOLE, ZERO)
    assert alike(ZERO, HOLE)
    assert not alike("A", ZERO)
    assert not alike(ZERO, "A")
    with pytest.raises(ValueError, match="zip"):
        union([(HOLE,), (HOLE, HOLE)])


def test_a_guests_write_during_a_commit_below_it_changes_nothing_that_the_job_writes() -> None:
    disk = Content.new("base", SMALL).write("A", (1,)).snapshot("low").write("B", (2,)).snapshot("top")

    began = disk.commit("low", "base")

    assert began.write("C", (0,)).contains("base") == began.contains("base")
    assert began.write("C", (0,)).completed().contains("base") == began.completed().contains("base")


def test_what_a_guest_writes_during_a_pull_is_no_longer_pulled() -> None:
    disk = Content.new("base", SMALL).write("A", (0, 1)).snapshot("top")

    pulled = disk.pull().write("B", (0,)).completed()

    assert set(pulled.contains("top")[: SMALL.parts_per_cell]) == {"B"}
    assert "A" in pulled.contains("top")


def test_what_the_guest_writes_while_a_mirror_runs_is_in_doubt_in_its_target_unless_it_was_there() -> None:
    disk = Content.new("base", LARGE).write("A", (0,)).snapshot("top")

    running = disk.active_commit("base").write("B", (1,))
    cell = LARGE.parts_per_cell

    assert set(running.contains("base")[cell : 2 * cell]) == {UNDEFINED}
    assert set(running.contains("base")[:cell]) == {"A"}
    assert set(running.ready().contains("base")[cell : 2 * cell]) == {"B"}


def test_a_discard_while_a_mirror_is_ready_is_in_doubt_where_it_was_and_nowhere_else() -> None:
    disk = Content.new("base", LARGE, Qcow2(131072)).snapshot("top", Qcow2(131072))
    ready = disk.active_commit("base").ready().write("B", ranges=((0, PART),))

    before = ready.pivot().contains("base")
    after = ready.discard(ranges=((2 * PART, PART), (40 * PART, PART))).pivot().contains("base")

    assert before[0] == after[0] == "B"
    assert [part for part, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] in ([], [40])


def test_the_guest_does_not_see_what_a_commit_writes_below_what_it_reads() -> None:
    disk = Content.new("base", SMALL).write("A", (0,)).snapshot("low").write("B", (1,)).snapshot("top")

    assert disk.commit("low", "base").guest() == disk.guest()


def test_a_write_to_where_another_is_on_its_way_ends_the_doubt() -> None:
    disk = Content.new("base", SMALL).begin_write("A", (0,)).write("B", (0,))

    assert set(disk.guest()[: SMALL.parts_per_cell]) == {"B"}
    assert disk.end_write().guest() == disk.guest()
