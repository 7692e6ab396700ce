"""Incremental backups, as libvirt's pages on checkpoints, backups and bitmaps have them."""

from __future__ import annotations

import json

import pytest

from harness.acts.backup import AwaitBackup, BeginBackup
from harness.acts.images import Rebase
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")


def test_the_documented_backups_put_together_are_the_disk_of_each_instant(trial: Trial) -> None:
    """base (live)   is backed up as   full, with the checkpoint chk-a, then as   full <- inc   of what was written."""
    trial.create_base()
    vm = trial.define().start()
    vda = vm.disk("vda")
    vda.write("A", (0, 1, 2, 3))

    trial.step("(1) A full backup, and at the same instant the checkpoint chk-a")
    first = vda.content.guest()
    _put(trial, "full.xml", _backup("full"))
    _put(trial, "chk-a.xml", "<domaincheckpoint><name>chk-a</name></domaincheckpoint>")
    line = "virsh backup-begin vm1 --backupxml /export/full.xml --checkpointxml /export/chk-a.xml"
    trial.type(line, means=BeginBackup(dests=("full",), checkpoint="chk-a"))
    trial.do(AwaitBackup())

    trial.step("(2) The guest goes on writing, in an overlay, too")
    vda.write("B", (1, 5))
    vda.snapshot("overlay")
    vda.write("C", (7,))
    assert "chk-a" in trial.type("virsh checkpoint-list vm1").check().stdout
    trial.type("virsh checkpoint-dumpxml vm1 chk-a --size --no-domain").check()

    trial.step("(3) A backup of what was written since chk-a")
    second = vda.content.guest()
    _put(trial, "inc.xml", _backup("inc", "<incremental>chk-a</incremental>"))
    trial.type("virsh backup-begin vm1 --backupxml /export/inc.xml", means=BeginBackup(dests=("inc",), since="chk-a"))
    trial.do(AwaitBackup())

    trial.step("(4) Put it on the full backup")
    line = "qemu-img rebase -u -f qcow2 -F qcow2 -b /export/images/full.qcow2 /export/images/inc.qcow2"
    trial.type(line, means=Rebase("inc", "full"))
    trial.verify("Put together")
    assert vda.content.reads_as("full", first)
    assert vda.content.reads_as("inc", second)

    trial.step("(5) The bitmaps in the images of a VM that is off: each records (auto), none is in use")
    vm.shut_off()
    told = json.loads(trial.type("qemu-img info -f qcow2 --output json /export/images/base.qcow2").check().stdout)
    (bitmap,) = told["format-specific"]["data"]["bitmaps"]
    assert (bitmap["name"], bitmap["flags"], bitmap["granularity"]) == ("chk-a", ["auto"], 65536)


def _backup(dest: str, more: str = "") -> str:
    target = f"<driver type='qcow2'/><target file='/export/images/{dest}.qcow2'/>"
    return f"<domainbackup>{more}<disks><disk name='vda' type='file'>{target}</disk></disks></domainbackup>"


def _put(trial: Trial, name: str, xml: str) -> None:
    trial.type(f'busybox sh -c "echo \\"{xml}\\" >/export/{name}"').check()
