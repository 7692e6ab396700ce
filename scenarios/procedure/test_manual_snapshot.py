"""A snapshot made without libvirt while the VM is off, with its bitmaps, as libvirt's page on bitmaps has it."""

from __future__ import annotations

import pytest

from harness.acts.images import AddBitmap, CreateImage, Rebase
from harness.acts.power import Redefine
from harness.oracle.chain import Chain
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")


def test_the_documented_manual_snapshot_keeps_the_bitmaps(trial: Trial) -> None:
    """base (off), with the bitmap chk-a   becomes   base <- overlay (live), and a backup since chk-a is exact."""
    trial.create_base()
    vm = trial.define().start()
    vda = vm.disk("vda")
    vda.write("A", (0, 1, 2, 3))
    vm.checkpoint("chk-a")
    vda.write("B", (1,))
    vm.shut_off()

    trial.step("(1) Create the image OVERLAY on top of ACTIVE")
    line = "qemu-img create -f qcow2 -b /export/images/base.qcow2 -F qcow2 /export/images/overlay.qcow2 768k"
    trial.type(line, means=CreateImage("overlay", backing="base"))

    trial.step("(2) For each bitmap of ACTIVE, create a recording one of its name and granularity in OVERLAY")
    line = "qemu-img bitmap --add -g 65536 -f qcow2 /export/images/overlay.qcow2 chk-a"
    trial.type(line, means=AddBitmap("overlay", "chk-a"))

    trial.step("(3) The VM goes on in OVERLAY")
    trial.do(Rebase("overlay", "base"), Redefine())
    vm.start()
    vda.write("C", (5,))
    with vda.pull_backup(since="chk-a"):
        trial.verify_backup("What was written before and after")
    trial.verify("Backed up")
    assert vda.chain() == Chain.named("base", "overlay")
