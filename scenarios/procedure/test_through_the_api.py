"""The documented procedure through libvirt's API, with its events."""

from __future__ import annotations

from harness.oracle.chain import Chain
from harness.oracle.documented import AFTER_SYNC_IS_BROKEN, T0, T1, T2, as_documented
from harness.trial.trial import Trial
from harness.vm.domain import Domain


def test_active_commit_and_pivot_fold_every_overlay_into_the_base(trial: Trial, layered: Domain) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   base (live)."""
    disk, guest = layered.disk, layered.guest
    assert as_documented(trial.verify("T0")) == T0

    with disk.active_commit(into="base") as job:
        job.wait_ready()
        assert as_documented(trial.verify("T1")) == T1
        job.pivot()
    guest.write_marker(*AFTER_SYNC_IS_BROKEN)

    assert as_documented(trial.verify("T2")) == T2
    assert disk.chain() == Chain.of(disk.image("base"))
    assert disk.configured_chain() == Chain.of(disk.image("base"))
    assert guest.same_boot()
