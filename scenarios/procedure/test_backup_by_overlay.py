"""A full backup with older libvirt versions: copy the base while the guest writes to an overlay, then merge that."""

from __future__ import annotations

from harness.acts.chain import ActiveCommit, Pivot
from harness.acts.images import CopyImage
from harness.acts.snapshot import Snapshot
from harness.oracle.chain import Chain
from harness.oracle.image import Raw
from harness.trial.trial import Trial
from harness.vm.virsh import active_images


def test_the_documented_copy_is_the_disk_of_the_instant(trial: Trial) -> None:
    """base.raw (live)   becomes   base.raw <- overlay1 (live), copied, then base.raw (live)."""
    trial.create_base(form=Raw())
    vda = trial.define().start().disk("vda")
    vda.write("A", (0, 1, 2, 3))
    trial.step("(1) The current block device in use")
    assert active_images(trial.type("virsh domblklist vm1").check().stdout) == {"vda": "/export/images/base.raw"}

    trial.step("(2) Create the live external disk snapshot")
    instant = vda.content.guest()
    diskspec = "--diskspec vda,file=/export/images/overlay1.qcow2"
    line = f"virsh snapshot-create-as --domain vm1 overlay1 {diskspec} --disk-only --no-metadata --quiesce"
    trial.type(line, means=Snapshot("vda", "overlay1", quiesce=True))
    vda.write("B", (1, 5))

    trial.step("(3) Take a backup of the original image")
    trial.type("busybox cp /export/images/base.raw /export/images/copy1.raw", means=CopyImage("base", "copy1"))
    vda.write("C", (2, 6))
    trial.verify("Copied")

    trial.step("(4) Merge the overlay into the original image, and pivot to it")
    line = "virsh blockcommit vm1 vda --active --verbose --pivot"
    with trial.hold(line, means=ActiveCommit("vda", "base"), ends=Pivot("vda")):
        trial.job(vda).wait_ready()
    vda.write("D", (7,))

    trial.step("(5) The guest is back on the original image; the copy is of the instant")
    assert active_images(trial.type("virsh domblklist vm1").check().stdout) == {"vda": "/export/images/base.raw"}
    trial.verify("Merged")
    assert vda.content.reads_as("copy1", instant)
    assert vda.chain() == Chain.named("base")
