"""Snapshots and backups whose storage fails: what cannot be done is refused, what goes on is of its instant."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.acts.backup import BeginBackup, EndBackup
from harness.acts.calls import Operation
from harness.acts.chain import Resize
from harness.acts.device import Attach
from harness.acts.guest import BeginWrite, EndWrite, FailWrite, Write
from harness.acts.images import CreateImage
from harness.acts.power import Resume
from harness.acts.records import DeleteSnapshot
from harness.acts.snapshot import InternalSnapshot, Snapshot
from harness.acts.storage import AwaitStopped, BreakStorage, HealStorage
from harness.trial.trial import Trial

pytestmark = pytest.mark.ill_storage
SCRATCH = "scratch-vda"


@pytest.mark.needs("backup")
@pytest.mark.parametrize("then", ["goes on", pytest.param("ends", marks=pytest.mark.full)])
@pytest.mark.usefixtures("layered")
def test_a_scratch_file_that_has_no_room_stops_the_guest_and_no_more(trial: Trial, then: str) -> None:
    """base <- sn1 <- sn2 <- cur (live, served)   is paused, and goes on, with its backup or without."""
    trial.do(BeginBackup(), BreakStorage(SCRATCH, "write", "ENOSPC"), BeginWrite("vda", "E", (1,)), AwaitStopped("vda"))
    trial.do(*([EndBackup()] if then == "ends" else []), HealStorage(), Resume(), EndWrite("vda"))
    if then == "goes on":
        trial.verify_backup("resumed")
        trial.do(EndBackup())

    trial.verify("ended")


@pytest.mark.needs("backup")
@pytest.mark.usefixtures("layered")
def test_a_guest_is_told_of_an_error_of_a_scratch_file_and_the_backup_is_of_its_instant(trial: Trial) -> None:
    """base <- sn1 <- sn2 <- cur (live, served)   has a write that fails, and its backup is of the instant."""
    trial.do(BeginBackup(), BreakStorage(SCRATCH, "write"), FailWrite("vda", "E", (1,)), HealStorage())
    trial.do(Write("vda", "F", (2,)))
    trial.verify_backup("told")
    trial.do(EndBackup())

    trial.verify("ended")


REFUSED: Mapping[str, tuple[BreakStorage, str]] = {
    "an overlay that has no room": (BreakStorage("late", "write", "ENOSPC"), "No space left on device"),
    "an overlay that fails": (BreakStorage("late", "write"), "Input/output error"),
    "a flush that fails": (BreakStorage("cur", "flush", times=1), "."),
}


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=pytest.mark.full if n else []) for n, row in enumerate(REFUSED)]
)
@pytest.mark.usefixtures("layered")
def test_a_snapshot_whose_storage_fails_is_refused_and_can_be_made_later(trial: Trial, row: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays that, and becomes later   base <- sn1 <- sn2 <- cur <- late (live)."""
    broken, words = REFUSED[row]
    trial.do(Write("vda", "E", (1,), flush=False), broken)
    trial.refused(Snapshot("vda", "late"), words)
    trial.do(HealStorage(), Write("vda", "F", (2,)))
    trial.verify("refused")
    trial.do(Snapshot("vda", "late"), Write("vda", "G", (3,)))

    trial.verify("made")


INSIDE: Mapping[str, tuple[Operation, int]] = {
    "the header": ("write", 0),
    "tables": ("write", 65536),
    "data": ("write", 5 * 65536),
    "the memory": ("write", 1 << 20),
    "a flush": ("flush", 0),
}


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=pytest.mark.full if n else []) for n, row in enumerate(INSIDE)]
)
@pytest.mark.usefixtures("vm")
def test_an_internal_snapshot_whose_storage_fails_is_refused_and_can_be_made_later(trial: Trial, row: str) -> None:
    """base (live)   stays that, and has later a snapshot inside."""
    what, first = INSIDE[row]
    trial.do(Write("vda", "F", (2,)), BreakStorage("base", what, times=1, first=first))
    trial.refused(InternalSnapshot("in"), ".")
    trial.do(HealStorage(), Write("vda", "G", (1,)))
    trial.verify("refused")
    trial.do(InternalSnapshot("in"))

    trial.verify("made")


@pytest.mark.needs("external-snapshot-delete")
@pytest.mark.usefixtures("layered")
def test_a_deletion_whose_storage_fails_can_be_done_later(trial: Trial) -> None:
    """base <- sn1 <- sn2 <- cur <- l1 <- l2 (live)   stays that, and becomes later one without l1."""
    trial.do(Snapshot("vda", "l1", name="a"), Write("vda", "E", (1,)), Snapshot("vda", "l2", name="b"))
    trial.do(Write("vda", "F", (2,)), BreakStorage("cur", "write", "ENOSPC"))
    trial.refused(DeleteSnapshot("a"), ".")
    trial.do(HealStorage(), Write("vda", "G", (3,)))
    trial.verify("refused")
    trial.do(DeleteSnapshot("a"))

    trial.verify("deleted")


@pytest.mark.usefixtures("layered")
def test_a_disk_that_cannot_grow_stays_as_large_as_it_is(trial: Trial) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays that, and is larger later."""
    trial.do(BreakStorage("cur", "write", "ENOSPC"))
    trial.refused(Resize("vda", 1 << 20), "No space left on device")
    trial.do(HealStorage(), Write("vda", "F", (2,)))
    trial.verify("refused")
    trial.do(Resize("vda", 1 << 20))

    trial.verify("larger")


@pytest.mark.needs("hotplug")
@pytest.mark.usefixtures("vm")
def test_a_disk_that_cannot_be_read_is_not_plugged_in(trial: Trial) -> None:
    """base (live)   stays that, and has later a disk more."""
    trial.do(CreateImage("data", "vdb"), BreakStorage("data", "read", disk="vdb"))
    trial.refused(Attach("vdb"), "Input/output error")
    trial.do(HealStorage(), Attach("vdb"), Write("vdb", "A", (1,)))

    trial.verify("plugged in")
