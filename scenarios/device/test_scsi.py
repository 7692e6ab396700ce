"""Jobs on a disk of a virtio-scsi controller, where discards and zeros are other commands than those of virtio-blk."""

from __future__ import annotations

from harness.oracle.chain import Chain
from harness.trial.trial import Trial


def test_jobs_keep_every_byte_of_a_scsi_disk(trial: Trial) -> None:
    """base <- sn1 <- sn2 (live)   becomes   base <- sn2, then base, then copy (live)."""
    trial.create_base(disk="sda")
    sda = trial.define().bring_up().disk("sda")
    sda.write("A", (0, 1, 2, 3))
    sda.snapshot("sn1")
    sda.write("B", (1, 5))
    sda.discard((2,))
    sda.snapshot("sn2")
    sda.zero((3,), ranges=((7 * 65536 + 4096, 8192),))
    trial.verify("grown")
    with sda.pull("base") as job:
        sda.write("C", (2,))
        job.wait_completed()
    trial.verify("pulled")
    with sda.active_commit(into="base") as job:
        job.wait_ready()
        sda.write("E", (0, 10))
        job.pivot()
    trial.verify("pivoted into the base")
    with sda.copy("copy") as job:
        job.wait_ready()
        sda.discard((5,))
        job.pivot()

    trial.verify("pivoted to the copy")
    sda.vm.shut_off()
    sda.vm.start()
    trial.verify("booted")
    assert sda.chain() == Chain.named("copy")
