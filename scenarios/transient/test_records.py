"""What libvirt has a record of survives the definition of a VM that had none, and the next libvirtd."""

from __future__ import annotations

from harness.acts.faults import StartDaemon, StopDaemon
from harness.acts.snapshot import Snapshot
from harness.trial.nouns import Vm
from harness.trial.trial import Trial


def test_a_snapshot_of_a_transient_vm_outlives_its_definition(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live, no definition)   snapshot "kept", defined   the record of "kept" stays."""
    layered.undefine()
    trial.do(StopDaemon(), StartDaemon())  # without it the snapshot itself defines the VM: a bug of its own
    trial.do(Snapshot("vda", "n1", name="kept"))
    layered.redefine()
    trial.do(StopDaemon(), StartDaemon())

    trial.verify("the next libvirtd")  # and a universal check compares what it has a record of
