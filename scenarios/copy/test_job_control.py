"""What is done to a job that is on: its speed, and its end with and without waiting."""

from __future__ import annotations

import pytest

from harness.oracle.chain import Chain
from harness.trial.nouns import Vm
from harness.trial.trial import Trial


@pytest.mark.parametrize("kind", ["active commit", "copy"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["waiting", "asynchronous"])
def test_a_job_that_is_slowed_down_goes_on_and_pivots(trial: Trial, layered: Vm, kind: str, asynchronous: bool) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   base (live), or copy (live)."""
    vda = layered.disk("vda")
    target = "base" if kind == "active commit" else "copy"

    with vda.active_commit(into="base") if kind == "active commit" else vda.copy("copy") as job:
        job.set_speed(64 << 10, in_bytes=True)
        job.set_speed(64)
        job.set_speed(0, in_bytes=True)
        job.wait_ready()
        vda.write("E", (0, 10))
        job.pivot(asynchronous=asynchronous)

    trial.verify("pivoted")
    assert vda.chain() == Chain.named(target)


@pytest.mark.parametrize("kind", ["active commit", "copy"])
def test_a_job_that_is_ended_without_waiting_leaves_the_chain(trial: Trial, layered: Vm, kind: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays   base <- sn1 <- sn2 <- cur (live)."""
    vda = layered.disk("vda")
    before = vda.chain()

    with vda.active_commit(into="base") if kind == "active commit" else vda.copy("copy") as job:
        job.wait_ready()
        job.abort(asynchronous=True)
    vda.write("E", (0, 10))

    trial.verify("given up")
    assert vda.chain() == before
