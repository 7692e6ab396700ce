"""External snapshots that are gone back to: the disk shows each instant, again and again, whatever came after."""

from __future__ import annotations

import pytest

from harness.acts.records import DeleteSnapshot
from harness.acts.revert import RevertToSnapshot
from harness.acts.snapshot import Snapshot
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
