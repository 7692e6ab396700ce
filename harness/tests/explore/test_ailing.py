"""What a walk may do to storage that fails: a job is certain to meet it, comes to its end, and all is well again."""

from __future__ import annotations

from harness.acts.chain import AwaitFailed, Pull
from harness.acts.guest import Write
from harness.acts.images import RemoveImage
from harness.acts.storage import BreakStorage, HealStorage
from harness.explore.ailing import breaking, is_met, next_of_ill
from harness.explore.program import Program
from harness.explore.shrinking import is_possible, shorter
from harness.explore.universe import Universe, possible, started, until_healed
from harness.oracle.driver import Driver

READ = BreakStorage("base", "read", first=4 * 65536)
START = started(Universe())


def test_what_a_job_must_read_or_write_may_be_broken() -> None:
    found = tuple(breaking(START))

    assert READ in found
    assert {(each.name, each.operation) for each in found} == {("base", "read"), ("base", "write"), ("sn1", "read")}


def test_what_goes_by_no_call_of_the_library_is_not_broken() -> None:
    assert not tuple(breaking(started(Universe(driver=Driver(io="native")))))


def test_each_way_ends_with_storage_that_is_well() -> None:
    for broken in breaking(START):
        ill = broken.after(START)
        for job in possible(ill, 2):
            failing = job.after(ill)
            assert possible(failing, 3) == (AwaitFailed("vda"),)
            failed = AwaitFailed("vda").after(failing)
            assert possible(failed, 4) == (HealStorage(),)
            assert not HealStorage().after(failed).broken


def test_a_walk_that_ends_early_is_healed() -> None:
    acts = until_healed(READ.after(START))

    assert [type(act) for act in acts] == [Pull, AwaitFailed, HealStorage]


def test_a_program_that_is_made_shorter_still_meets_it() -> None:
    whole = (READ, Pull("vda"), AwaitFailed("vda"), HealStorage())

    assert is_possible(Program(Universe(), whole))
    assert is_possible(Program(Universe(), whole[:2]))
    assert not is_possible(Program(Universe(), (whole[0], whole[3])))
    assert not is_possible(Program(Universe(), (whole[0], Write("vda", "W", (1,)), *whole[1:])))
    assert not is_met(START, BreakStorage("base", "discard"))
    assert not is_met(READ.after(START), RemoveImage("base"))
    assert next(next_of_ill(READ.after(START), "n1")) == Pull("vda")


def test_what_is_made_shorter_loses_what_breaks_with_what_heals() -> None:
    ill = (READ, Pull("vda"), AwaitFailed("vda"), HealStorage())
    write = Write("vda", "W", (1,))

    assert {each.acts for each in shorter(Program(Universe(), (*ill, write)), 1)} == {ill, (write,)}
