"""Images on block devices: what libvirt makes there, folds into them, and takes from them keeps every byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.backup import AwaitBackup, BeginBackup
from harness.acts.chain import ActiveCommit, AwaitCompleted, AwaitReady, Commit, Copy, Pivot, Pull
from harness.acts.guest import Discard, Write, Zero
from harness.acts.images import CreateImage, MakeDevice
from harness.acts.power import Redefine, Undefine
from harness.acts.snapshot import Snapshot
from harness.oracle.geometry import Geometry
from harness.oracle.image import QCOW2, Format, Raw
from harness.trial.trial import Trial

pytestmark = pytest.mark.devices
DISK = Geometry()
RAW = Raw(device=True)
DEVICES = {"base": DISK.disk_size, "sn1": 4 << 20, "cur": 4 << 20}
JOBS: Mapping[str, Sequence[Act]] = {
    "active commit": (ActiveCommit("vda", "base"), AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
    "active commit, shallow": (ActiveCommit("vda", "sn1", shallow=True), AwaitReady("vda"), Pivot("vda")),
    "commit": (Commit("vda", "sn1", "base"), AwaitCompleted("vda")),
    "pull": (Pull("vda"), AwaitCompleted("vda")),
    "partial pull": (Pull("vda", "base"), AwaitCompleted("vda")),
    "copy": (
        MakeDevice("copy", stale=True),
        Copy("vda", "copy"),
        AwaitReady("vda"),
        Write("vda", "D", (1, 9)),
        Pivot("vda"),
    ),
    "raw copy": (
        MakeDevice("copy", DISK.disk_size, stale=True),
        *(Copy("vda", "copy", format=RAW), AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
    ),
}
_FEW = (("active commit", QCOW2), ("raw copy", RAW))


@pytest.mark.cold
@pytest.mark.parametrize(
    ("job", "form"),
    [
        pytest.param(job, form, marks=[] if (job, form) in _FEW else [pytest.mark.full])
        for job in JOBS
        for form in (RAW, QCOW2)
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_chain_on_block_devices_keeps_every_byte(trial: Trial, job: str, form: Format) -> None:
    """base <- sn1 <- cur (live), each on a block device   becomes   what the job makes of it."""
    trial.do(*(MakeDevice(name, 4 << 20 if form == QCOW2 else size, stale=True) for name, size in DEVICES.items()))
    trial.create_base(DISK, form=form)
    vm = trial.define().start()
    trial.do(
        Write("vda", "A", (0, 1, 2, 3, 4)), Zero("vda", (3,)), Write("vda", "A2", ranges=((7 * 65536 + 4096, 8192),))
    )
    trial.verify("on one device")
    vm.grow([("sn1", "B", (1, 5)), ("cur", "C", (2, 6))])
    trial.verify("on three devices")
    trial.do(Discard("vda", (4,)), *JOBS[job], Write("vda", "E", (0, 11)))
    trial.verify("after the job")
    vm.shut_off()
    vm.start()

    trial.verify("started again")


@pytest.mark.needs("backup")
@pytest.mark.parametrize("form", [QCOW2, pytest.param(RAW, marks=pytest.mark.full)], ids=["qcow2", "raw"])
def test_a_backup_to_a_block_device_holds_the_instant(trial: Trial, form: Format) -> None:
    """base <- sn1 (live)   is backed up as   dest, on a block device, whatever the guest writes meanwhile."""
    trial.create_base()
    vda = trial.define().bring_up().disk()
    vda.write("A", (0, 1, 2, 3))
    vda.snapshot("sn1")
    vda.zero((2,))
    trial.do(MakeDevice("dest", DISK.disk_size if form == RAW else 4 << 20, stale=True))
    trial.do(*([CreateImage("dest", format=form)] if form == RAW else []))
    instant = vda.content.guest()

    trial.do(BeginBackup(dests=("dest",), reuse=form == RAW))
    vda.write("B", (1, 9))
    trial.do(AwaitBackup())

    trial.verify("backed up")
    assert vda.content.reads_as("dest", instant)


def test_a_device_that_an_image_was_on_is_used_again(trial: Trial) -> None:
    """base <- old (device)   becomes   base   and   base <- old (the same device)."""
    trial.create_base()
    vda = trial.define().bring_up().disk()
    vda.write("A", (0, 1, 2))
    trial.do(MakeDevice("old", stale=True), Snapshot("vda", "old"), Write("vda", "B", (1, 5)))
    trial.do(ActiveCommit("vda", "base", delete=True), AwaitReady("vda"), Pivot("vda"))
    trial.verify("committed")
    trial.do(Snapshot("vda", "old"), Write("vda", "C", (2,)))

    trial.verify("on the device again")


def test_the_older_call_copies_a_transient_vms_disk_to_a_block_device(trial: Trial) -> None:
    """base <- sn1 (live, transient)   becomes   copy, on a block device (live), which is defined again."""
    trial.create_base()
    vda = trial.define().bring_up().disk()
    vda.write("A", (0, 1, 2))
    trial.do(Snapshot("vda", "sn1"), Write("vda", "B", (1, 5)), Undefine(), MakeDevice("copy", stale=True))
    trial.do(Copy("vda", "copy", by_rebase=True), AwaitReady("vda"), Write("vda", "C", (2,)), Pivot("vda"))
    trial.verify("on the device")
    trial.do(Redefine(), Write("vda", "D", (3,)))

    trial.verify("defined again")
