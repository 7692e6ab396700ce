"""libvirt's own external snapshots: deleting one folds its overlay into the layer below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.guest import Write
from harness.acts.power import Resume, ShutOff, Start, Suspend
from harness.acts.records import DeleteSnapshot
from harness.acts.snapshot import Snapshot
from harness.oracle.chain import Chain
from harness.trial.nouns import Disk
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("external-snapshot-delete")


def test_deleting_an_external_snapshot_folds_its_overlay_into_the_base(trial: Trial, vda: Disk) -> None:
    """base <- sn1 (live)   becomes   base (live), and sn1's file is gone."""
    vda.write("A", (0, 1, 2))
    line = "virsh snapshot-create-as vm1 snap1 --disk-only --diskspec vda,file=/export/images/sn1.qcow2"
    trial.type(line, means=Snapshot("vda", "sn1", name="snap1"))
    vda.write("B", (1, 2, 3))
    trial.verify("two layers")

    deleted = trial.type("virsh snapshot-delete vm1 snap1", means=DeleteSnapshot("snap1"))

    assert deleted.stdout.strip() == "Domain snapshot snap1 deleted"
    trial.verify("deleted")
    assert vda.chain() == Chain.named("base")
    assert trial.type("virsh snapshot-list vm1 --name").check().stdout.strip() == ""


def test_deleting_a_snapshot_of_memory_and_disk_removes_both_files(trial: Trial, vda: Disk) -> None:
    """base <- sn1 (live), and a file with the memory   becomes   base (live), and no other file."""
    vda.write("A", (0, 1, 2))
    overlay, memory = "/export/images/sn1.qcow2", "/export/images/memory"
    specs = f"--memspec file={memory},snapshot=external --diskspec vda,snapshot=external,file={overlay}"
    line = f"virsh snapshot-create-as vm1 snap1 {specs}"
    trial.type(line, means=Snapshot("vda", "sn1", name="snap1", memory=memory))
    vda.write("B", (1, 2, 3))
    assert [path.name for path in trial.image_paths()] == ["base.qcow2", "memory", "sn1.qcow2"]

    trial.type("virsh snapshot-delete vm1 snap1", means=DeleteSnapshot("snap1"))

    trial.verify("deleted")  # that there is no other file is one of the universal checks
    assert vda.chain() == Chain.named("base")


_STATES: Mapping[str, tuple[Sequence[Act], Sequence[Act]]] = {
    "on": ((), ()),
    "off": ((ShutOff(),), (Start(),)),
    "paused": ((Suspend(),), (Resume(),)),
}
_FEW = (("off", "s2"),)


@pytest.mark.parametrize(
    ("state", "name"),
    [
        pytest.param(state, name, marks=[] if (state, name) in _FEW else [pytest.mark.full])
        for state in _STATES
        for name in ("s1", "s2", "s3")
    ],
)
def test_whichever_is_deleted_the_others_are_what_they_were(trial: Trial, state: str, name: str) -> None:
    """base <- o1 <- o2 <- o3, a record of each   becomes   that without the overlay of the one that is deleted."""
    trial.create_base()
    vm = trial.define().bring_up()
    for number in (1, 2, 3):
        trial.do(Write("vda", f"A{number}", (number, number + 1)), Snapshot("vda", f"o{number}", f"s{number}"))
    trial.do(Write("vda", "B", (4, 7), flush=False))
    before, after = _STATES[state]
    trial.do(*before, DeleteSnapshot(name), *after)
    trial.verify("deleted")
    trial.do(Write("vda", "C", (1, 8)))

    trial.verify("written afterwards")
    assert vm.disk().chain() == vm.disk().expected_chain()
