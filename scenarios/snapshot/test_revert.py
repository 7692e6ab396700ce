"""External snapshots that are gone back to: the disk shows each instant, again and again, whatever came after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.guest import RunInGuest, Write
from harness.acts.power import Resume, Suspend
from harness.acts.records import DeleteSnapshot
from harness.acts.revert import RevertToSnapshot
from harness.acts.snapshot import Snapshot
from harness.oracle.state import DIRECTORY, Power
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("external-snapshot-revert")


@pytest.mark.parametrize("on", [True, False], ids=["running", "off"])
def test_each_snapshot_is_gone_back_to_in_turn(trial: Trial, on: bool) -> None:
    """base <- o1 <- o2 <- o3 (live)   becomes   base <- r1, then o2 <- r3, then o1 <- r2: what each was of."""
    vm, instants = _with_three(trial)
    for number, name in enumerate(("s1", "s3", "s2", "s1")):
        if not on:
            vm.shut_off()
        trial.do(RevertToSnapshot(name, (("vda", f"r{number}"),)))
        assert vm.disk().content.guest() == instants[name]
        trial.verify(f"gone back to {name}")
        vm.bring_up()
        vm.disk().write(f"X{number}", (number, 9))
        trial.verify(f"written after {name}")


def test_a_snapshot_that_was_gone_back_to_is_deleted(trial: Trial) -> None:
    """base <- o1 <- o2 <- o3 (live)   becomes   base <- o1 <- o2 <- r1 (live), then base <- o1 <- o2 (live)."""
    vm, _ = _with_three(trial)
    trial.do(RevertToSnapshot("s3", (("vda", "r1"),)))
    vm.bring_up()
    vm.disk().write("X", (9,))
    trial.do(DeleteSnapshot("s3"))

    trial.verify("deleted")


def test_each_branch_of_a_tree_is_gone_back_to(trial: Trial) -> None:
    """base <- o1 <- o2 <- o3   becomes   base <- r1 <- o4, then o2 <- r3, then r1 <- r4: s4 is a branch of its own."""
    vm, instants = _with_three(trial)
    trial.do(RevertToSnapshot("s1", (("vda", "r1"),)))
    vm.bring_up()
    vda = vm.disk()
    vda.write("E", (1, 7))
    instants["s4"] = vda.content.guest()
    trial.do(Snapshot("vda", "o4", "s4"), Write("vda", "F", (8,)))
    trial.verify("on a branch")
    for number, name in enumerate(("s3", "s4", "s2", "s4")):
        trial.do(RevertToSnapshot(name, (("vda", f"q{number}"),), running=True))
        assert vda.content.guest() == instants[name]
        vda.write(f"X{number}", (number, 9))
        trial.verify(f"gone back to {name}")


_MEMORY = str(DIRECTORY / "memory")
STATES: Mapping[str, tuple[Sequence[Act], str, RevertToSnapshot]] = {
    "memory": ((), _MEMORY, RevertToSnapshot("s1", (("vda", "r1"),))),
    "memory, paused": ((), _MEMORY, RevertToSnapshot("s1", (("vda", "r1"),), paused=True)),
    "memory of a paused one": ((Suspend(),), _MEMORY, RevertToSnapshot("s1", (("vda", "r1"),))),
    "memory of a paused one, running": ((Suspend(),), _MEMORY, RevertToSnapshot("s1", (("vda", "r1"),), running=True)),
    "running": ((), "", RevertToSnapshot("s1", (("vda", "r1"),), running=True)),
    "paused": ((), "", RevertToSnapshot("s1", (("vda", "r1"),), paused=True)),
}
_FEW = ("memory", "paused")


@pytest.mark.parametrize("on", [True, False], ids=["running", "off"])
@pytest.mark.parametrize(
    "state", [pytest.param(name, marks=[] if name in _FEW else [pytest.mark.full]) for name in STATES]
)
def test_the_guest_goes_on_as_it_is_asked_for(trial: Trial, state: str, on: bool) -> None:
    """base <- o1 (live)   becomes   base <- r1 (live), with the guest of then if its memory was saved."""
    before, memory, revert = STATES[state]
    trial.create_base()
    vm = trial.define().bring_up()
    vda = vm.disk()
    vda.write("A", (0, 1, 2), flush=False)
    instant = vda.content.guest()
    trial.do(RunInGuest("echo s1 >/run/token", "keeps a word in memory"), *before, Snapshot("vda", "o1", "s1", memory))
    if vm.state.power is Power.PAUSED:
        trial.do(Resume())
    trial.do(RunInGuest("echo later >/run/token", "keeps another word"), Write("vda", "B", (1, 2, 3)))
    if not on:
        vm.shut_off()
    trial.do(revert)
    if vm.state.power is Power.PAUSED:
        trial.do(Resume())
    assert vda.content.guest() == instant
    assert vm.domain.agent.run("cat /run/token 2>/dev/null || true") == (b"s1\n" if memory else b"")
    trial.verify("gone back to s1")
    vda.write("C", (2, 4))

    trial.verify("written after it")


def _with_three(trial: Trial) -> tuple[Vm, dict[str, tuple[object, ...]]]:
    trial.create_base()
    vm = trial.define().bring_up()
    vda = vm.disk()
    instants: dict[str, tuple[object, ...]] = {}
    for number, cells in enumerate(((0, 1, 2), (1, 5), (2, 6)), 1):
        vda.write("ABC"[number - 1], cells)
        instants[f"s{number}"] = vda.content.guest()
        trial.do(Snapshot("vda", f"o{number}", f"s{number}"))
    vda.write("D", (3,))
    return vm, instants
