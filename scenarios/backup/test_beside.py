"""A backup of one disk beside jobs of another, begun before it or during it: each keeps every byte of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.backup import AwaitBackup, BeginBackup, EndBackup
from harness.acts.chain import Abort, ActiveCommit, AwaitCompleted, AwaitReady, Commit, Copy, Pivot, Pull, Resize
from harness.acts.guest import Write
from harness.acts.images import CreateImage
from harness.acts.snapshot import Snapshot
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")
JOBS: Mapping[str, tuple[Sequence[Act], Sequence[Act]]] = {
    "active commit": ((ActiveCommit("vdb", "data"), AwaitReady("vdb")), (Pivot("vdb"),)),
    "active commit, aborted": ((ActiveCommit("vdb", "data"), AwaitReady("vdb")), (Abort("vdb"),)),
    "commit": ((Commit("vdb", "d1", "data", bandwidth=1),), (AwaitCompleted("vdb"),)),
    "pull": ((Pull("vdb", bandwidth=1),), (AwaitCompleted("vdb"),)),
    "copy": ((Copy("vdb", "copy"), AwaitReady("vdb")), (Pivot("vdb"),)),
    "resize": ((Resize("vdb", 1 << 22),), ()),
}
_FEW = ("active commit",)
ROWS = [pytest.param(job, marks=[] if job in _FEW else [pytest.mark.full]) for job in JOBS]


@pytest.mark.parametrize(
    "order", ["the backup ends last", pytest.param("the job ends last", marks=pytest.mark.full), "the job begins last"]
)
@pytest.mark.parametrize("job", ROWS)
def test_a_backup_and_a_job_of_another_disk_do_not_meet(trial: Trial, job: str, order: str) -> None:
    """vda: base (live, backed up) and vdb: data <- d1 <- d2 (live, a job)   become   what the job makes of it."""
    vm = _with_two(trial)
    begin, end = JOBS[job]
    meanwhile = (Write("vda", "E", (1, 3)), Write("vdb", "E", (2, 4)))
    last = order == "the job begins last"
    for acts in ((BeginBackup(),), begin) if last else (begin, (BeginBackup(),)):
        trial.do(*acts)
    trial.do(*meanwhile)
    trial.verify_backup("while the job is on")
    trial.do(*(*end, EndBackup()) if order == "the backup ends last" else (EndBackup(), *end))
    trial.do(Write("vda", "F", (5,)), Write("vdb", "F", (5,)))

    trial.verify("both are over")
    assert vm.disk("vda").chain() == vm.disk("vda").expected_chain()


@pytest.mark.parametrize("job", ROWS)
def test_a_backup_is_written_while_a_job_of_another_disk_is_on(trial: Trial, job: str) -> None:
    """vda: base (live, written to full) and vdb: data <- d1 <- d2 (live, a job)   become   what the job makes of it."""
    vm = _with_two(trial)
    begin, end = JOBS[job]
    instant = vm.disk("vda").content.guest()
    trial.do(*begin, BeginBackup(dests=("full",)), Write("vda", "E", (1, 3)), AwaitBackup(), *end)

    trial.verify("both are over")
    assert vm.disk("vda").content.reads_as("full", instant)


def _with_two(trial: Trial) -> Vm:
    trial.create_base()
    trial.do(CreateImage("data", disk="vdb"))
    vm = trial.define().bring_up()
    trial.do(Write("vda", "A", (0, 1, 2)), Write("vdb", "A", (0, 1, 2)), Snapshot("vdb", "d1"))
    trial.do(Write("vdb", "B", (1,)), Snapshot("vdb", "d2"), Write("vdb", "C", (2, 6)))
    return vm
