"""The power is lost at any write, or QEMU dies: what the guest has flushed is there afterwards."""

from __future__ import annotations

import pytest

from harness.acts.guest import Write
from harness.acts.power import ShutOff, Start
from harness.acts.revert import RevertToSnapshot
from harness.acts.snapshot import InternalSnapshot
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


@pytest.mark.recorded
def test_a_power_loss_at_any_write_of_a_revert_endangers_nothing(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur with s1 inside (off)   becomes   cur as at s1 (off), and loses the power meanwhile."""
    layered.shut_off()
    trial.do(InternalSnapshot("s1"), Start(), Write("vda", "E", (1, 3)), ShutOff(), RevertToSnapshot("s1"))

    explore_power_loss(trial).check()
