"""What a disk holds when its storage fails: under a job, and under a write of the guest's."""

from __future__ import annotations

import pytest

from harness.oracle.content import Content, Impossible
from harness.oracle.image import Raw
from harness.oracle.job import End
from harness.oracle.parts import HOLE, UNDEFINED, ZERO
from harness.tests.oracle.disks import SMALL


def layered() -> Content:
    return Content.new("base", SMALL).write("A", (0, 1)).snapshot("top").write("B", (1, 2))


def parts(content: Content, name: str, cell: int) -> set[object]:
    size = SMALL.cell_size // SMALL.part_size
    return set(content.contains(name)[cell * size : (cell + 1) * size])


def test_what_a_failed_job_has_written_is_in_doubt_and_the_guest_sees_what_it_saw() -> None:
    before = layered()
    failed = before.active_commit("base").failed()

    assert failed.guest() == before.guest()
    assert failed.active == "top"
    assert failed.job is None
    assert parts(failed, "base", 1) == {UNDEFINED}
    assert parts(failed, "base", 0) == {"A"}
    assert failed.ends[-1] == End("active-commit", "failed")


def test_a_job_that_fails_at_ready_leaves_its_target_in_doubt() -> None:
    ready = layered().active_commit("base").ready()
    failed = ready.write("C", (0,)).failed()

    assert parts(failed, "base", 0) == {UNDEFINED}
    assert parts(failed, "base", 1) == {UNDEFINED}
    assert parts(failed, "top", 0) == {"C"}


def test_nothing_fails_where_there_is_no_job() -> None:
    with pytest.raises(Impossible, match="there is no job"):
        layered().failed()


def test_a_write_that_failed_may_have_been_done_in_part_and_changes_nothing_else() -> None:
    before = layered()
    after = before.fail_write((1,))

    assert parts(after, "top", 1) == {UNDEFINED}
    assert parts(after, "top", 2) == {"B"}
    assert parts(after, "base", 1) == {"A"}


def test_a_write_that_failed_is_over_when_the_next_one_to_the_same_place_is_done() -> None:
    after = layered().fail_write((1,)).write("C", (1,))

    assert parts(after, "top", 1) == {"C"}


def test_a_raw_image_on_a_device_holds_zeros_where_nobody_wrote() -> None:
    on_device = Content.new("base", SMALL, Raw(device=True))

    assert set(on_device.contains("base")) == {ZERO}
    assert set(Content.new("base", SMALL, Raw()).contains("base")) == {HOLE}


def test_what_a_device_shows_as_zeros_is_copied_by_a_pull() -> None:
    pulled = Content.new("base", SMALL, Raw(device=True)).snapshot("top").pull().completed()

    assert set(pulled.contains("top")) == {ZERO}
