"""A snapshot of which one disk is taken by whoever has its storage, as libvirt's page on snapshots has it."""

from __future__ import annotations

import pytest

from harness.acts.guest import Write
from harness.acts.images import CopyImage, CreateImage
from harness.acts.power import Resume
from harness.acts.snapshot import Snapshot
from harness.oracle.image import Raw
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("manual-snapshot")


@pytest.mark.parametrize("memory", [pytest.param(False, marks=pytest.mark.full), True], ids=["disks", "memory"])
def test_the_documented_manual_snapshot_is_of_one_instant(trial: Trial, memory: bool) -> None:
    """vda: base (raw, copied by hand), vdb: data (live)   become   base and its copy, data <- over, of one instant."""
    trial.create_base(form=Raw())
    trial.do(CreateImage("data", disk="vdb"))
    vm = trial.define().start()
    trial.do(Write("vda", "A", (0, 1, 2), flush=False), Write("vdb", "A", (0, 1, 2), flush=False))
    instants = {disk.target: disk.content.guest() for disk in vm.disks}

    trial.step("(1) Snapshot the memory and vdb; vda is to be snapshotted by hand")
    line = "virsh snapshot-create-as vm1 point --diskspec vda,snapshot=manual"
    line += " --diskspec vdb,snapshot=external,file=/export/images/over.qcow2 --atomic"
    line += " --memspec /export/images/memory" if memory else " --disk-only"
    taken = "/export/images/memory" if memory else ""
    trial.type(line, means=Snapshot("vdb", "over", "point", taken, manual=("vda",)))
    assert trial.type("virsh domstate vm1").check().stdout.strip() == "paused"

    trial.step("(2) Snapshot the storage of vda")
    trial.type("busybox cp /export/images/base.raw /export/images/copy.raw", means=CopyImage("base", "copy"))

    trial.step("(3) Resume the VM")
    trial.type("virsh resume vm1", means=Resume())
    trial.do(Write("vda", "B", (1, 5)), Write("vdb", "B", (1, 5)))
    trial.verify("The VM goes on")
    assert vm.disk("vda").content.reads_as("copy", instants["vda"])
    assert vm.disk("vdb").content.reads_as("data", instants["vdb"])
