"""libvirt's own external snapshots: deleting one folds its overlay into the layer below."""

from __future__ import annotations

import pytest

from harness.oracle.chain import Chain
from harness.trial.trial import Trial
from harness.vm.domain import Domain


@pytest.mark.needs("external-snapshot-delete")
def test_deleting_an_external_snapshot_folds_its_overlay_into_the_base(trial: Trial, domain: Domain) -> None:
    """base <- sn1 (live)   becomes   base (live), and sn1's file is gone."""
    disk, guest = domain.disk, domain.guest
    guest.write_marker("A", (0, 1, 2))
    trial.type(f"virsh snapshot-create-as vm1 snap1 --disk-only --diskspec vda,file={disk.path('sn1')}").check()
    disk.content = disk.content.snapshot("sn1")
    guest.write_marker("B", (1, 2, 3))
    trial.verify("two layers")

    deleted = trial.type("virsh snapshot-delete vm1 snap1").check()

    assert deleted.stdout.strip() == "Domain snapshot snap1 deleted"
    disk.content = disk.content.active_commit_ready("base").pivot().remove("sn1")
    trial.verify("deleted")
    assert disk.chain() == Chain.of(disk.image("base"))
    assert trial.type("virsh snapshot-list vm1 --name").check().stdout.strip() == ""


@pytest.mark.needs("external-snapshot-delete")
def test_deleting_a_snapshot_of_memory_and_disk_removes_both_files(trial: Trial, domain: Domain) -> None:
    """base <- sn1 (live), and a file with the memory   becomes   base (live), and no other file."""
    disk, guest = domain.disk, domain.guest
    guest.write_marker("A", (0, 1, 2))
    memory = disk.path("sn1").with_name("memory")
    specs = f"--memspec file={memory},snapshot=external --diskspec vda,snapshot=external,file={disk.path('sn1')}"
    trial.type(f"virsh snapshot-create-as vm1 snap1 {specs}").check()
    disk.content = disk.content.snapshot("sn1")
    guest.write_marker("B", (1, 2, 3))
    assert trial.image_paths() == [disk.path("base"), memory, disk.path("sn1")]

    trial.type("virsh snapshot-delete vm1 snap1").check()

    disk.content = disk.content.active_commit_ready("base").pivot().remove("sn1")
    trial.verify("deleted")  # that there is no other file is one of the universal checks
    assert disk.chain() == Chain.of(disk.image("base"))
