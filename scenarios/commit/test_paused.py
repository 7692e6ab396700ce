"""A VM is paused while a job of one phase, which has copied all, sleeps to keep its speed limit."""

from __future__ import annotations

import pytest

from harness.acts.act import Act
from harness.acts.chain import AwaitCompleted, Commit, Pull
from harness.acts.power import Resume, Suspend
from harness.oracle.geometry import Geometry
from harness.trial.trial import Trial

LAYERS = (("base", "A", (0, 1, 2)), ("sn1", "B", (1, 3)), ("sn2", "C", (2,)))
JOBS: dict[str, Act] = {"commit": Commit("vda", "sn1", "base", bandwidth=1), "pull": Pull("vda", bandwidth=1)}


@pytest.mark.parametrize("job", JOBS)
def test_a_vm_that_is_paused_while_a_job_is_held_back_goes_on_and_so_does_the_job(trial: Trial, job: str) -> None:
    """base <- sn1 <- sn2 (live, paused, live)   becomes   base <- sn2, or sn2 (live)."""
    trial.create_base(Geometry(cells=6))  # less than is copied at once
    trial.define().bring_up().grow(LAYERS)

    trial.do(JOBS[job])
    trial.verify_guest("copying")
    trial.do(Suspend(), Resume(), AwaitCompleted("vda"))

    trial.verify("completed")
