"""The small world: what is possible in it is what the acts themselves say, and it can always be healed."""

from __future__ import annotations

import random

import pytest

from harness.acts.act import Act, after_all
from harness.acts.backup import BeginBackup
from harness.acts.chain import Abort, ActiveCommit, AwaitCompleted, AwaitReady, Pull
from harness.acts.faults import KillDaemon, KillQemu, StartDaemon
from harness.acts.guest import Write
from harness.acts.images import RemoveImage
from harness.acts.power import Resume, Suspend
from harness.acts.snapshot import Snapshot
from harness.explore.universe import MOST_LAYERS, Universe, ending, merged, possible, started, until_healed
from harness.explore.walk import UNIVERSES
from harness.oracle.content import Impossible
from harness.oracle.state import Power, State


def after(*acts: Act) -> State:
    return after_all(started(Universe()), acts)


def kinds(state: State) -> set[type[Act]]:
    return {type(act) for act in possible(state, 1)}


@pytest.mark.parametrize("universe", UNIVERSES, ids=repr)
def test_a_world_begins_with_two_disks_of_several_layers(universe: Universe) -> None:
    disks = started(universe).vm("vm1").disks

    assert {target: content.chain() for target, content in disks.items()} == {
        "vda": ("base", "sn1", "sn2"),
        "vdb": ("data", "top"),
    }
    assert not any(content.unflushed for content in disks.values())


@pytest.mark.parametrize("universe", UNIVERSES, ids=repr)
def test_each_act_that_is_possible_can_be_done_and_no_two_are_the_same(universe: Universe) -> None:
    acts = possible(started(universe), 1)

    assert len(set(map(repr, acts))) == len(acts) > 30
    for act in acts:
        act.call(started(universe))
        act.after(started(universe))


def test_a_job_must_end_before_what_needs_the_disk() -> None:
    during = kinds(after(ActiveCommit("vda", "base")))

    assert {AwaitReady, Abort, KillQemu, Write} <= during
    assert not [act for act in possible(after(ActiveCommit("vda", "base")), 1) if act == Snapshot("vda", "n1")]


def test_nothing_is_offered_whose_outcome_a_race_decides() -> None:
    during = kinds(after(Pull("vda", bandwidth=1)))

    assert AwaitCompleted in during
    assert during.isdisjoint({Abort, KillQemu})


def test_without_a_daemon_the_guest_goes_on_and_libvirt_does_not() -> None:
    down = kinds(after(KillDaemon()))

    assert {Write, StartDaemon, KillQemu} <= down
    assert down.isdisjoint({Snapshot, Suspend, ActiveCommit})


def test_a_paused_guest_does_nothing() -> None:
    assert kinds(after(Suspend())).isdisjoint({Write})
    assert Resume in kinds(after(Suspend()))


def test_what_a_release_does_not_offer_is_not_possible() -> None:
    state = started(Universe())

    assert BeginBackup() in possible(state, 1)
    assert BeginBackup() not in possible(state, 1, lambda name: name != "backup")


def test_a_long_chain_grows_no_more_and_unused_images_go() -> None:
    long = after(Snapshot("vda", "n1"))
    assert len(long.disk("vm1", "vda").chain()) == MOST_LAYERS
    assert not [act for act in possible(long, 2) if isinstance(act, Snapshot) and act.disk == "vda"]

    pulled = after(Pull("vda"), AwaitCompleted("vda"))
    assert {act.name for act in possible(pulled, 2) if isinstance(act, RemoveImage)} == {"base", "sn1"}


def test_whatever_was_done_a_state_can_be_healed_and_merged() -> None:
    chance = random.Random(1)
    for _ in range(60):
        state = started(Universe())
        for number in range(1, 25):
            state = chance.choice(possible(state, number)).after(state)
        for acts in (ending, until_healed):
            for act in acts(state):
                state = act.after(state)
        machine = state.vm("vm1")
        assert machine.power is Power.RUNNING
        assert not any(content.job or content.in_flight for content in machine.disks.values())
        for act in merged(state):
            state = act.after(state)
        assert {len(content.chain()) for content in state.vm("vm1").disks.values()} == {1}


def test_no_killed_qemu_meets_a_job_that_may_just_end() -> None:
    state = after(Pull("vda", bandwidth=1))

    assert ending(state) == (AwaitCompleted("vda"), KillQemu())
    with pytest.raises(Impossible):
        Snapshot("vda", "n1").after(state)
