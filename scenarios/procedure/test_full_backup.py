"""A full disk backup in push mode, as libvirt's page on live full disk backups has it.

The page passes no XML, and libvirt names the backup by the time: here the target has a name, by which it can be known.
"""

from __future__ import annotations

import pytest

from harness.acts.backup import AwaitBackup, BeginBackup
from harness.trial.trial import Trial
from harness.vm.virsh import active_images

pytestmark = pytest.mark.needs("backup")
_XML = (
    "<domainbackup><disks><disk name='vda' type='file'>"
    "<driver type='qcow2'/><target file='/export/images/full.qcow2'/></disk></disks></domainbackup>"
)


def test_the_documented_backup_is_the_disk_of_the_instant(trial: Trial) -> None:
    """base <- sn1 (live)   is backed up as   full."""
    trial.create_base()
    vm = trial.define()
    trial.step("(1) Start the guest")
    vda = vm.start().disk("vda")
    vda.write("A", (0, 1, 2, 3))
    vda.snapshot("sn1")
    vda.write("B", (1,))

    trial.step("(2) Enumerate the disks in use")
    assert active_images(trial.type("virsh domblklist vm1").check().stdout) == {"vda": "/export/images/sn1.qcow2"}

    trial.step("(3) Begin the backup")
    instant = vda.content.guest()
    trial.type(f'busybox sh -c "echo \\"{_XML}\\" >/export/backup.xml"').check()
    begun = trial.type("virsh backup-begin vm1 --backupxml /export/backup.xml", means=BeginBackup(dests=("full",)))
    assert begun.stdout.strip() == "Backup started"
    vda.write("C", (2, 9))

    trial.step("(4) Wait until the job is done")
    trial.do(AwaitBackup())
    assert "None" in trial.type("virsh domjobinfo vm1").check().stdout
    done = trial.type("virsh domjobinfo vm1 --completed").check().stdout
    assert "Backup" in done

    trial.step("(5) The copy of the instant, whatever the guest has written since")
    trial.verify("The backup is written")
    assert vda.content.reads_as("full", instant)
