"""The documented procedure through libvirt's API, with its events."""

from __future__ import annotations

import pytest

from harness.oracle.chain import Chain
from harness.oracle.documented import AFTER_SYNC_IS_BROKEN, T0, T1, T2, as_documented
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

pytestmark = pytest.mark.elsewhere_too


def test_active_commit_and_pivot_fold_every_overlay_into_the_base(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   base (live)."""
    vda = layered.disk("vda")
    assert as_documented(trial.verify("T0")) == T0

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        assert as_documented(trial.verify("T1")) == T1
        job.pivot()
    vda.write(*AFTER_SYNC_IS_BROKEN)

    assert as_documented(trial.verify("T2")) == T2
    assert vda.chain() == Chain.named("base")
    assert vda.configured_chain() == Chain.named("base")
    assert layered.guest.same_boot()
