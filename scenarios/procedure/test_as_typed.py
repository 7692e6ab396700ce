"""The same acts by another hand: each is typed as a virsh command in place of a call of the API."""

from __future__ import annotations

from harness.oracle.chain import Chain
from harness.oracle.documented import AFTER_SYNC_IS_BROKEN, LAYERS, T0, T1, T2, as_documented
from harness.trial.nouns import Vm
from harness.trial.trial import Trial


def test_virsh_does_what_the_api_does(trial: Trial, vm: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live, made by virsh)   becomes   base (live)."""
    trial.stage.by = "virsh"
    vda = vm.grow(LAYERS).disk("vda")
    assert as_documented(trial.verify("T0")) == T0

    with vda.active_commit(into="base", bandwidth=100) as job:
        job.wait_ready()
        assert as_documented(trial.verify("T1")) == T1
        job.pivot()
    vda.write(*AFTER_SYNC_IS_BROKEN)

    assert as_documented(trial.verify("T2")) == T2
    assert vda.chain() == vda.configured_chain() == Chain.named("base")
