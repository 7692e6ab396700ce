"""An active commit held between its READY and its end, while the guest writes on."""

from __future__ import annotations

from harness.oracle.chain import Chain
from harness.oracle.documented import T1, as_documented
from harness.trial.nouns import Vm
from harness.trial.trial import Trial


def test_writes_after_ready_are_in_the_base_after_the_pivot(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   base (live)."""
    vda = layered.disk("vda")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        assert as_documented(trial.verify("T1")) == T1
        assert len(vda.chain()) == 4
        vda.write("F", (1, 9, 11))
        trial.verify_guest("T1, after a write")
        job.pivot()
    trial.verify("pivoted")
    vda.write("E", (0, 10))

    trial.verify("T2")
    assert vda.chain() == Chain.named("base")


def test_abort_after_ready_leaves_the_chain_and_makes_the_base_a_copy_of_that_instant(
    trial: Trial, layered: Vm
) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays   base <- sn1 <- sn2 <- cur (live)."""
    vda = layered.disk("vda")
    before = vda.chain()

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        assert as_documented(trial.verify("T1")) == T1
        vda.write("F", (1, 9, 11))
        job.abort()
    table = trial.verify("aborted")
    shown = as_documented(table)
    assert shown["base"][1] == shown["guest"][1] == "DFBBBCCCDF-F"
    vda.write("E", (0, 10))

    assert as_documented(trial.verify("after a later write"))["base"] == shown["base"]
    assert vda.chain() == before
    assert vda.configured_chain().active == "cur"


def test_a_commit_after_an_aborted_one_folds_everything(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live), aborted once   becomes   base (live)."""
    vda = layered.disk("vda")
    with vda.active_commit(into="base") as job:
        job.wait_ready()
        job.abort()
    vda.write("F", (1, 9, 11))

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()

    trial.verify("pivoted")
    assert vda.chain() == Chain.named("base")
