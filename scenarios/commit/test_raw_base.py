"""A base of format raw: what a disk image often is before its first snapshot."""

from __future__ import annotations

from harness.oracle.chain import Chain
from harness.oracle.image import Raw
from harness.trial.trial import Trial


def test_an_active_commit_into_a_raw_base_keeps_every_byte(trial: Trial) -> None:
    """base.raw <- sn1 <- cur (live)   becomes   base.raw (live)."""
    trial.create_base(form=Raw())
    vda = trial.define().bring_up().disk("vda")
    vda.write("A", (0, 1, 2))
    vda.snapshot("sn1")
    vda.write("B", (2, 3))
    vda.snapshot("cur")
    vda.zero((1, 4))
    vda.discard((0,))
    trial.verify("three layers, the lowest raw")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        trial.verify("ready")
        vda.write("C", (3, 7))
        job.pivot()
    vda.write("D", (5,))

    trial.verify("pivoted")
    assert vda.chain() == Chain.named("base")


def test_a_raw_base_is_merged_into_night_after_night(trial: Trial) -> None:
    """base.raw (live), and each night   base.raw <- overlay   becomes   base.raw again."""
    trial.create_base(form=Raw())
    vda = trial.define().bring_up().disk("vda")
    vda.write("A", (0, 1, 2))
    for number, label in enumerate("BCD"):
        vda.snapshot(f"night{number}")
        vda.write(label, (number, 5))
        with vda.active_commit(into="base") as job:
            job.wait_ready()
            vda.write(label, (6,))
            job.pivot()
        trial.remove(f"night{number}")
        trial.verify(f"after night {number}")
    assert vda.chain() == Chain.named("base")
