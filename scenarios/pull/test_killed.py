"""QEMU is killed after a pull has completed, before anything was flushed: what was pulled is in the file."""

from __future__ import annotations

import pytest

from harness.acts.faults import KillQemu
from harness.oracle.chain import Chain
from harness.trial.nouns import Vm
from harness.trial.trial import Trial


@pytest.mark.parametrize("onto", [None, "base"])
def test_what_was_pulled_outlives_a_killed_qemu(trial: Trial, layered: Vm, onto: str | None) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   [base <-] cur (shut off, by SIGKILL)."""
    vda = layered.disk("vda")

    with vda.pull(onto) as job:
        job.wait_completed()
    trial.do(KillQemu())

    trial.verify("killed")
    assert vda.configured_chain().active == "cur"
    layered.bring_up()
    assert vda.chain() == (Chain.named("cur") if onto is None else Chain.named(onto, "cur"))
