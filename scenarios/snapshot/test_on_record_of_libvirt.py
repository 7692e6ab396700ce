"""Snapshots as libvirt has them on record: a tree of them, forgotten and defined again, listed; no image changes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.acts.act import Act
from harness.acts.records import DeleteSnapshot, RedefineSnapshot
from harness.acts.snapshot import Snapshot
from harness.oracle.chain import Chain
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

_FORGOTTEN: Mapping[str, tuple[Act, ...]] = {
    "the newest": (DeleteSnapshot("s3", metadata_only=True), RedefineSnapshot("s3", current=True)),
    "the newest, not current": (DeleteSnapshot("s3", metadata_only=True), RedefineSnapshot("s3")),
    "the middle one": (DeleteSnapshot("s2", metadata_only=True),),
    "all": (
        DeleteSnapshot("s1", metadata_only=True, children=True),
        RedefineSnapshot("s1"),
        RedefineSnapshot("s2", current=True),
        RedefineSnapshot("s3"),
    ),
    "children": (DeleteSnapshot("s1", metadata_only=True, children_only=True), RedefineSnapshot("s2")),
    "validated": (DeleteSnapshot("s3", metadata_only=True), RedefineSnapshot("s3", validate=True)),
}


_FULL = ("the newest, not current", "children")
ROWS = [pytest.param(which, marks=[pytest.mark.full] if which in _FULL else []) for which in _FORGOTTEN]


@pytest.mark.parametrize("which", ROWS)
def test_records_that_are_forgotten_and_defined_again_change_no_image(trial: Trial, which: str) -> None:
    """base <- o1 <- o2 <- o3 (live), a record of each   stays   base <- o1 <- o2 <- o3 (live)."""
    vm = _with_three(trial)
    trial.do(*_FORGOTTEN[which])
    vm.disk().write("D", (6,))

    trial.verify("forgotten, and defined again")
    assert vm.disk().chain() == Chain.named("base", "o1", "o2", "o3")


def test_libvirt_tells_of_snapshots(trial: Trial) -> None:
    """base <- o1 <- o2 <- o3 (live)   stays   base <- o1 <- o2 <- o3 (live)."""
    vm = _with_three(trial)
    trial.verify("as it is")
    listed = {
        "ROOTS": ["s1"],
        "DESCENDANTS": ["s1"],  # the same bit: of a domain, it is the roots
        "LEAVES": ["s3"],
        "NO_LEAVES": ["s1", "s2"],
        "TOPOLOGICAL": ["s1", "s2", "s3"],
        "METADATA": ["s1", "s2", "s3"],
        "NO_METADATA": [],
        "ACTIVE": ["s2"],
        "INACTIVE": [],
        "DISK_ONLY": ["s1", "s3"],
        "INTERNAL": [],
        "EXTERNAL": ["s1", "s2", "s3"],
    }
    for flag, names in listed.items():
        assert vm.names("virDomainListAllSnapshots", flag) == names, flag
    assert vm.names("virDomainSnapshotListNames") == ["s1", "s2", "s3"]
    assert vm.ask("virDomainSnapshotNum") == 3
    assert vm.ask("virDomainSnapshotNumChildren", "DESCENDANTS", name="s1") == 2
    assert vm.ask("virDomainSnapshotCurrent") == "s3"
    assert vm.ask("virDomainHasCurrentSnapshot") == 1
    assert vm.ask("virDomainSnapshotLookupByName", name="s2") == "s2"
    assert vm.ask("virDomainSnapshotGetName", name="s2") == "s2"
    assert vm.ask("virDomainSnapshotGetParent", name="s2") == "s1"
    assert vm.ask("virDomainSnapshotHasMetadata", name="s2") == 1
    assert [vm.ask("virDomainSnapshotIsCurrent", name=name) for name in ("s2", "s3")] == [0, 1]
    assert vm.names("virDomainSnapshotListAllChildren", "DESCENDANTS", name="s1") == ["s2", "s3"]
    assert vm.names("virDomainSnapshotListChildrenNames", name="s1") == ["s2"]
    assert "<memory snapshot='external' file='/export/images/memory'/>" in str(
        vm.ask("virDomainSnapshotGetXMLDesc", "SECURE", name="s2")
    )


@pytest.mark.parametrize("memory", [False, True], ids=["disks", "memory"])
def test_a_vm_that_is_halted_with_its_snapshot_goes_on_from_it(trial: Trial, memory: bool) -> None:
    """base (live)   becomes   base <- o1 (off), then base <- o1 (live)."""
    trial.create_base()
    vm = trial.define().bring_up()
    vda = vm.disk()
    vda.write("A", (0, 1))
    trial.do(Snapshot("vda", "o1", "s1", "/export/images/memory" if memory else "", halt=True))
    trial.verify("halted")
    vm.bring_up()
    vda.write("B", (1,))

    trial.verify("gone on")
    assert vda.chain() == Chain.named("base", "o1")


def test_memory_is_saved_while_the_guest_runs_on(trial: Trial) -> None:
    """base (live)   becomes   base <- o1 (live), its memory saved meanwhile."""
    trial.create_base()
    vda = trial.define().bring_up().disk()
    vda.write("A", (0, 1))
    trial.do(Snapshot("vda", "o1", "s1", "/export/images/memory", live=True))
    vda.write("B", (1,))

    trial.verify("gone on")
    assert vda.chain() == Chain.named("base", "o1")


def _with_three(trial: Trial) -> Vm:
    trial.create_base()
    vm = trial.define().bring_up()
    vda = vm.disk()
    vda.write("A", (0, 1, 2))
    trial.do(Snapshot("vda", "o1", "s1"))
    vda.write("B", (1,))
    trial.do(Snapshot("vda", "o2", "s2", "/export/images/memory"))
    vda.write("C", (2,))
    trial.do(Snapshot("vda", "o3", "s3"))
    return vm
