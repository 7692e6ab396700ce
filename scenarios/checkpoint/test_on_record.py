"""Checkpoints as libvirt has them on record: deleted, forgotten, defined again, listed; the others stay exact."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from harness.acts.act import Act
from harness.acts.checkpoint import DeleteCheckpoint, RedefineCheckpoint
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")
_DELETED: Mapping[str, DeleteCheckpoint] = {
    "the oldest": DeleteCheckpoint("ck1"),
    "the middle one": DeleteCheckpoint("ck2"),
    "the newest": DeleteCheckpoint("ck3"),
    "one and its children": DeleteCheckpoint("ck2", children=True),
    "children alone": DeleteCheckpoint("ck1", children_only=True),
}


@pytest.mark.parametrize("which", _DELETED)
def test_a_checkpoint_that_is_deleted_takes_nothing_of_the_others(trial: Trial, which: str) -> None:
    """base <- sn1 <- sn2 (live), a checkpoint in each   the others say what they did, and serve a backup."""
    vm = _with_three(trial)
    trial.do(_DELETED[which])
    vm.disk().write("D", (6,))

    for name in vm.state.checkpoints:
        with vm.disk().pull_backup(since=name):
            trial.verify_backup(f"since {name}")
    trial.verify("backed up")


@pytest.mark.parametrize("validate", [False, True], ids=["redefined", "validated"])
def test_a_checkpoint_that_was_forgotten_and_defined_again_is_what_it_was(trial: Trial, validate: bool) -> None:
    """base <- sn1 <- sn2 (live), its newest checkpoint forgotten   serves a backup since it."""
    vm = _with_three(trial)
    trial.do(DeleteCheckpoint("ck3", metadata_only=True))
    vm.disk().write("D", (6,))
    trial.do(RedefineCheckpoint("ck3", validate=validate))

    with vm.disk().pull_backup(since="ck3"):
        trial.verify_backup("since it")
    trial.verify("backed up")


def test_all_that_was_forgotten_is_defined_again_in_turn(trial: Trial) -> None:
    """base <- sn1 <- sn2 (live), all its checkpoints forgotten while it was off   serves backups since each."""
    vm = _with_three(trial)
    vm.shut_off()
    trial.do(DeleteCheckpoint("ck1", children=True, metadata_only=True))
    vm.bring_up()
    again: list[Act] = [RedefineCheckpoint(name) for name in ("ck1", "ck2", "ck3")]
    trial.do(*again)
    vm.disk().write("D", (6,))

    for name in ("ck1", "ck2", "ck3"):
        with vm.disk().pull_backup(since=name):
            trial.verify_backup(f"since {name}")
    trial.verify("backed up")


def test_libvirt_tells_of_checkpoints_and_how_much_was_written_since(trial: Trial) -> None:
    """base <- sn1 <- sn2 (live)   stays as it is."""
    vm = _with_three(trial)
    vda = vm.disk()
    trial.verify("as it is")

    for name in ("ck1", "ck2", "ck3"):
        sized = str(vm.ask("virDomainCheckpointGetXMLDesc", "SIZE", name=name))
        expected = len(vda.content.written_since(name).dirty) * 65536
        assert re.findall(r"size='(\d+)'", sized) == [str(expected)], sized
        assert vm.ask("virDomainCheckpointGetName", name=name) == name
        assert vm.ask("virDomainCheckpointLookupByName", name=name) == name
    assert "<domain " not in str(vm.ask("virDomainCheckpointGetXMLDesc", "NO_DOMAIN", name="ck1"))
    assert "<domain " in str(vm.ask("virDomainCheckpointGetXMLDesc", "SECURE", name="ck1"))
    assert vm.ask("virDomainCheckpointGetParent", name="ck3") == "ck2"
    assert vm.names("virDomainCheckpointListAllChildren", name="ck2") == ["ck3"]
    assert vm.names("virDomainCheckpointListAllChildren", "DESCENDANTS", name="ck1") == ["ck2", "ck3"]
    listed = {
        "ROOTS": ["ck1"],
        "DESCENDANTS": ["ck1"],
        "LEAVES": ["ck3"],
        "NO_LEAVES": ["ck1", "ck2"],
        "TOPOLOGICAL": ["ck1", "ck2", "ck3"],
    }
    for flag, names in listed.items():
        assert vm.names("virDomainListAllCheckpoints", flag) == names


def _with_three(trial: Trial) -> Vm:
    trial.create_base()
    vm = trial.define().bring_up()
    vda = vm.disk()
    vda.write("A", (0, 1, 2, 3))
    vm.checkpoint("ck1")
    vda.write("B", (1,))
    vda.snapshot("sn1")
    vm.checkpoint("ck2")
    vda.write("C", (1, 2), ranges=((5 * 65536 + 4096, 4096),))
    vda.snapshot("sn2")
    vm.checkpoint("ck3")
    vda.zero((3,))
    return vm


def test_a_checkpoint_that_is_deleted_during_a_backup_since_it_takes_nothing_of_that(trial: Trial) -> None:
    """base <- sn1 <- sn2 (live), backed up since ck1, which is deleted   the backup is what it was."""
    vm = _with_three(trial)
    with vm.disk().pull_backup(since="ck1"):
        trial.do(DeleteCheckpoint("ck1"))
        vm.disk().write("D", (6,))
        trial.verify_backup("without its checkpoint")
    with vm.disk().pull_backup(since="ck2"):
        trial.verify_backup("since the next one")
    trial.verify("backed up")
