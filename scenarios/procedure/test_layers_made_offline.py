"""Layers that libguestfs wrote before the VM ran, merged live: markers in, markers out."""

from __future__ import annotations

from harness.oracle.chain import Chain
from harness.oracle.documented import AFTER_SYNC_IS_BROKEN, LAYERS, T0, T2, as_documented
from harness.trial.trial import Trial


def test_markers_written_offline_into_each_layer_survive_the_live_merge(trial: Trial) -> None:
    """base <- sn1 <- sn2 <- cur (offline, then live)   becomes   base (live, then started again)."""
    trial.lay_offline(LAYERS)
    vm = trial.define().bring_up()
    vda = vm.disk("vda")
    assert as_documented(trial.verify("T0")) == T0
    assert len(vda.chain()) == 4

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()
    vda.write(*AFTER_SYNC_IS_BROKEN)

    assert as_documented(trial.verify("T2")) == T2
    assert vda.chain() == Chain.named("base")
    vm.shut_off()
    shown = as_documented(trial.verify_offline("T2, shut off"))
    assert shown == {name: ("", shows) for name, (_, shows) in T2.items() if name != "guest"}
    vm.start()
    trial.verify("started again from its persistent definition")
