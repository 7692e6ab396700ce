"""Snapshots of several disks: all are of one instant, or none is taken."""

from __future__ import annotations

import pytest

from harness.acts.asked import Ask
from harness.acts.backup import AwaitBackup, BeginBackup
from harness.acts.images import CreateImage
from harness.trial.nouns import Disk, Vm
from harness.trial.trial import Trial
from harness.vm.striper import number, of_one_instant

ROUNDS = 5
_FAILS = {
    "no such directory": ("/export/images/none/b1.qcow2", "No such file or directory|Could not create"),
    "a file that is there": ("/export/images/base.qcow2", "already exists"),
}


def test_a_snapshot_of_two_disks_with_a_record_is_merged_disk_by_disk(trial: Trial) -> None:
    """base (vda) and data (vdb), live   become   base <- a1 and data <- b1, with a record, then base and data."""
    trial.create_base()
    trial.do(CreateImage("data", "vdb"))
    vm = trial.define().bring_up()
    vda, vdb = vm.disk("vda"), vm.disk("vdb")
    vda.write("A", (0, 1))
    vdb.write("B", (1, 2))
    vm.snapshot({"vda": "a1", "vdb": "b1"})
    vda.write("C", (1,))
    vdb.write("D", (2,))
    trial.verify("taken")

    for disk, base in ((vda, "base"), (vdb, "data")):
        with disk.active_commit(base) as job:
            job.wait_ready()
            job.pivot()
    trial.verify("merged")


@pytest.mark.parametrize(
    "how",
    [
        "snapshot",
        *(pytest.param(how, marks=pytest.mark.full) for how in ("quiesced", "recorded")),
        pytest.param("backup", marks=pytest.mark.needs("backup")),
    ],
)
def test_what_is_taken_of_two_disks_is_of_one_instant(trial: Trial, how: str) -> None:
    """Two disks (live), written to in turn   are taken together, again and again: no pair is of two instants."""
    vm = _striping(trial)
    for count in range(1, ROUNDS + 1):
        if how == "backup":
            trial.do(BeginBackup(("vdb", "vdc"), (f"b{count}", f"c{count}")))
            trial.do(AwaitBackup())
        else:
            name = f"snap{count}" if how == "recorded" else ""
            vm.snapshot({"vdb": f"b{count}", "vdc": f"c{count}"}, name, quiesce=how == "quiesced")
        vm.guest.wait_striped()
    vm.guest.stop_striper()

    disks = (vm.disk("vdb"), vm.disk("vdc"))
    frozen = list(zip(*(disk.content.files() for disk in disks), strict=True))
    frozen = frozen[1:] if how == "backup" else frozen[:-1]
    pairs = [tuple(_number(trial, disk, name) for disk, name in zip(disks, names, strict=True)) for names in frozen]
    assert len(pairs) == ROUNDS
    assert all(map(of_one_instant, pairs)), pairs
    assert [first for first, _ in pairs] == sorted({first for first, _ in pairs}), pairs


def test_two_snapshots_of_a_disk_each_are_seen_to_be_of_two_instants(trial: Trial) -> None:
    """Two disks (live), written to in turn   are taken one after the other, with a write to both between."""
    vm = _striping(trial)
    vm.disk("vdb").snapshot("b1")
    vm.guest.wait_striped()
    vm.guest.wait_striped()
    vm.disk("vdc").snapshot("c1")
    vm.guest.stop_striper()

    pair = _number(trial, vm.disk("vdb"), "first"), _number(trial, vm.disk("vdc"), "second")
    assert not of_one_instant(pair), pair


@pytest.mark.parametrize("why", _FAILS)
def test_where_one_disk_cannot_be_taken_none_is(trial: Trial, why: str) -> None:
    """base (vda) and data (vdb), live   stay what they are, and no file is left."""
    trial.create_base()
    trial.do(CreateImage("data", "vdb"))
    vm = trial.define().bring_up()
    vm.disk("vda").write("A", (0, 1))
    path, words = _FAILS[why]
    disks = "".join(
        f"<disk name='{disk}' snapshot='external'><source file='{file}'/></disk>"
        for disk, file in (("vda", "/export/images/a1.qcow2"), ("vdb", path))
    )
    xml = f"<domainsnapshot><disks>{disks}</disks></domainsnapshot>"

    trial.refused(Ask("virDomainSnapshotCreateXML", {}, ("DISK_ONLY", "ATOMIC", "NO_METADATA"), xml), words)


def _striping(trial: Trial) -> Vm:
    trial.create_base()
    trial.adopt_new("first", "vdb", 1 << 20)
    trial.adopt_new("second", "vdc", 1 << 20)
    vm = trial.define().start()
    vm.guest.start_striper("vdb", "vdc")
    return vm


def _number(trial: Trial, disk: Disk, name: str) -> int:
    return number(trial.reader.shows(disk.image(name)))
