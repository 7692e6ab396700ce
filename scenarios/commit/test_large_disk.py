"""A disk far larger than what was ever written to it."""

from __future__ import annotations

from harness.oracle.chain import Chain
from harness.oracle.documented import LAYERS
from harness.oracle.geometry import Geometry
from harness.trial.trial import Trial


def test_an_active_commit_on_a_disk_of_1_tib_moves_only_what_was_written(trial: Trial) -> None:
    """base <- sn1 <- sn2 <- cur (live, 1 TiB)   becomes   base (live, 1 TiB, and no larger a file)."""
    trial.create_base(Geometry(tail=(1 << 40) - Geometry().size))
    vda = trial.define().bring_up().grow(LAYERS).disk("vda")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        trial.verify("T1")
        job.pivot()

    trial.verify("pivoted")
    assert vda.chain() == Chain.named("base")
