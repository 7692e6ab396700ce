"""QEMU is killed after a commit has completed, before anything was flushed: what was committed is in the base."""

from __future__ import annotations

import pytest

from harness.acts.faults import KillQemu
from harness.oracle.chain import Chain
from harness.trial.nouns import Vm
from harness.trial.trial import Trial


@pytest.mark.parametrize("before", ["nothing", "an active commit that was given up"])
def test_what_was_committed_outlives_a_killed_qemu(trial: Trial, layered: Vm, before: str) -> None:
    """base <- sn1 <- sn2 <- cur <- top (live)   becomes   base <- top (shut off, by SIGKILL)."""
    vda = layered.disk()
    if before != "nothing":
        with vda.active_commit("base") as job:
            job.wait_ready()
            job.abort()
    vda.write("E", (10, 11))
    vda.snapshot("top")
    with vda.commit("cur", "base") as job:
        job.wait_completed()
    trial.do(KillQemu())

    trial.verify("killed")
    layered.bring_up()
    trial.verify("started")
    assert vda.chain() == Chain.named("base", "top")
