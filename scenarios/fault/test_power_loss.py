"""The power is lost at any write, or QEMU dies: what the guest has flushed is there afterwards."""

from __future__ import annotations

import pytest

from harness.acts.faults import KillQemu
from harness.oracle.chain import Chain
from harness.oracle.documented import AFTER_SYNC_IS_BROKEN
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.verdict.power_loss import explore_power_loss


@pytest.mark.recorded
def test_a_power_loss_at_any_write_of_the_documented_merge_loses_nothing(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   base (live), and the power is lost at every write of it."""
    vda = layered.disk("vda")
    with vda.active_commit(into="base") as job:
        job.wait_ready()
        vda.write("E", (3, 4), flush=False)
        job.pivot()
    vda.write(*AFTER_SYNC_IS_BROKEN)
    layered.shut_off()

    found = explore_power_loss(trial)

    assert not found.findings
    assert not found.not_made
    assert found.per_moment["during: the job of vda pivots"] > 1
    assert found.states > 80


@pytest.mark.recorded
def test_a_power_loss_at_any_write_of_a_pull_loses_nothing(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   cur (live), and the power is lost at every write of it."""
    vda = layered.disk("vda")

    with vda.pull() as job:
        job.wait_completed()
    layered.shut_off()

    explore_power_loss(trial).check()


@pytest.mark.parametrize("base", [None, "base"])
def test_qemu_that_is_killed_after_a_pull_has_lost_nothing(trial: Trial, layered: Vm, base: str | None) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   cur, alone or on the base (shut off by SIGKILL, then live)."""
    vda = layered.disk("vda")
    with vda.pull(base) as job:
        job.wait_completed()

    trial.do(KillQemu())

    trial.verify("killed")
    layered.bring_up()
    trial.verify("live again")
    assert vda.chain() == Chain.named(*([base] if base else []), "cur")
