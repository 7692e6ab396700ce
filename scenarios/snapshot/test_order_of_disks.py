"""A disk is called by its name: the order in which a definition has the disks, and what it leaves out, are all one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.backup import AwaitBackup, BeginBackup
from harness.acts.chain import ActiveCommit, AwaitReady, Pivot
from harness.acts.checkpoint import CreateCheckpoint
from harness.acts.guest import Write
from harness.acts.images import CreateImage
from harness.acts.snapshot import InternalSnapshot, Snapshot
from harness.oracle.state import DIRECTORY
from harness.trial.trial import Trial

WHAT: Mapping[str, Sequence[Act]] = {
    "snapshot of one": (Snapshot("vdb", "over"),),
    "snapshot of the other": (Snapshot("vda", "over"),),
    "snapshot of both": (Snapshot("vda", "over", also=(("vdb", "top"),)),),
    "snapshot of one, on record": (Snapshot("vdb", "over", name="s"),),
    "snapshot of one, with memory": (Snapshot("vdb", "over", name="s", memory="/export/images/memory"),),
    "snapshot onto an image that is there": (
        CreateImage("over", "vdb", backing="data"),
        Snapshot("vdb", "over", reuse=True),
    ),
    "internal snapshot": (InternalSnapshot("in"),),
    "checkpoint and backup of one": (
        CreateCheckpoint("ck", ("vdb",)),
        Write("vdb", "C", (2,)),
        BeginBackup(("vdb",), ("dest",), since="ck"),
        AwaitBackup(),
    ),
    "backup of both": (BeginBackup(("vda", "vdb"), ("full-a", "full-b")), AwaitBackup()),
    "snapshot and commit": (Snapshot("vdb", "over"), ActiveCommit("vdb", "data"), AwaitReady("vdb"), Pivot("vdb")),
}
_FEW = ("snapshot of one",)


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(
            what,
            marks=[
                *([] if what in _FEW else [pytest.mark.full]),
                *([pytest.mark.needs("backup")] if "backup" in what else []),
            ],
        )
        for what in WHAT
    ],
)
def test_it_is_done_to_the_disk_that_it_is_asked_of(trial: Trial, what: str) -> None:
    """vdb, defined first: data, and vda: base   become   what is done to the one that is named."""
    trial.create_base(disk="vdb", name="data")
    trial.create_base(disk="vda")
    vm = trial.define().bring_up()
    trial.do(Write("vda", "A", (0, 1)), Write("vdb", "B", (0, 1)))

    trial.do(*WHAT[what], Write("vda", "D", (3,)), Write("vdb", "E", (3,)))

    trial.verify("done")
    vm.shut_off()
    vm.start()
    trial.verify("started again")


_UNSAID: Mapping[str, tuple[str, str]] = {
    "each says its bus": (" bus='virtio'", " bus='virtio'"),
    "the first says none": ("", " bus='virtio'"),
    "the second says none": (" bus='virtio'", ""),
    "none says its bus": ("", ""),
}
"""What the targets of vdb, which comes first, and of vda say of their bus: libvirt knows it by the name."""


@pytest.mark.parametrize(
    "said", [pytest.param(said, marks=[] if "first" in said else [pytest.mark.full]) for said in _UNSAID]
)
@pytest.mark.parametrize("asked", ["vda", pytest.param("vdb", marks=pytest.mark.full)])
def test_a_snapshot_is_of_the_disk_that_is_named(trial: Trial, asked: str, said: str) -> None:
    """A VM that is defined with vdb before vda (live, paused)   gets   over on the one that is named."""
    trial.create_base()
    trial.create_base(disk="vdb", name="data")
    vm = trial.define()
    xml = re.sub("<uuid>.*?</uuid>", "", vm.xml(inactive=True)).replace("<name>vm1<", "<name>vm2<")
    vda, vdb = re.findall(r"(?s)<disk.*?</disk>", xml)
    spelt = [disk.replace(" bus='virtio'", bus) for disk, bus in zip((vdb, vda), _UNSAID[said], strict=True)]
    trial.put(
        "vm.xml", re.sub(r"(?s)<disk.*</disk>", "".join(re.sub("<address .*?/>", "", disk) for disk in spelt), xml)
    )
    other = {"vda": "vdb", "vdb": "vda"}[asked]
    overlay = DIRECTORY / "over.qcow2"
    disks = f"<disk name='{other}' snapshot='no'/><disk name='{asked}'><source file='{overlay}'/></disk>"
    trial.put("snapshot.xml", f"<domainsnapshot><disks>{disks}</disks></domainsnapshot>")
    trial.type("virsh create /export/vm.xml --paused").check()
    trial.type("virsh snapshot-create vm2 /export/snapshot.xml --disk-only --no-metadata").check()

    listed = trial.type("virsh domblklist vm2").check().stdout.splitlines()[2:]

    trial.type("virsh destroy vm2").check()
    trial.type(f"rm {overlay}").check()
    assert [line.split()[0] for line in listed if str(overlay) in line] == [asked]
