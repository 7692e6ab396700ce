"""Snapshots inside images, and what later happens to the chain: their instants stay, and so does what they stand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.chain import ActiveCommit, AwaitCompleted, AwaitReady, Commit, Pivot, Pull
from harness.acts.checkpoint import CreateCheckpoint
from harness.acts.guest import Write
from harness.acts.power import ShutOff, Start
from harness.acts.records import DeleteSnapshot
from harness.acts.revert import RevertToSnapshot
from harness.acts.snapshot import InternalSnapshot, Snapshot
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

JOBS: Mapping[str, Sequence[Act]] = {
    "a pull": (Pull("vda"), AwaitCompleted("vda")),
    "a pull down to the base": (Pull("vda", "base"), AwaitCompleted("vda")),
    "a commit below": (Commit("vda", "sn1", "base"), AwaitCompleted("vda")),
}


@pytest.mark.parametrize(
    "job", [pytest.param(job, marks=[] if job == "a pull" else [pytest.mark.full]) for job in JOBS]
)
def test_a_job_changes_no_instant_that_the_active_layer_keeps(trial: Trial, job: str) -> None:
    """base <- sn1 <- cur with s1 inside (live)   becomes   what the job makes of it, and s1 shows its instant."""
    trial.create_base()
    vm = trial.define().bring_up()
    vm.grow([("base", "A", (0, 1)), ("sn1", "B", (1, 2)), ("cur", "C", (2, 3))])
    instant = vm.disk().content.guest()
    trial.do(InternalSnapshot("s1"), Write("vda", "D", (4,)), *JOBS[job])
    trial.verify("after the job")
    trial.do(RevertToSnapshot("s1"))
    trial.verify("gone back to s1")

    assert vm.disk().content.guest() == instant


@pytest.mark.needs("backup")
def test_a_vm_with_a_checkpoint_runs_on_when_it_cannot_go_back(trial: Trial) -> None:
    """base with s1 inside, and a checkpoint (live)   stays that: a revert is refused, and the VM runs on."""
    trial.create_base()
    vm = trial.define().bring_up()
    trial.do(Write("vda", "A", (0, 1)), InternalSnapshot("s1"), CreateCheckpoint("ck"), Write("vda", "B", (1,)))
    trial.refused(RevertToSnapshot("s1"), ".*(dirty bitmap|checkpoint).*")
    vm.disk().write("C", (2,))

    trial.verify("it runs on")


@pytest.mark.needs("deletion-aside")
def test_a_snapshot_aside_is_deleted_without_what_is_below(trial: Trial) -> None:
    """base with s1 inside <- cur (s2)   becomes   base as at s1 (live), and is that when s2 is deleted, with cur."""
    trial.create_base()
    vm = trial.define().bring_up()
    trial.do(Write("vda", "A", (0, 1)), InternalSnapshot("s1"), Snapshot("vda", "cur", name="s2"))
    trial.do(Write("vda", "B", (1, 2)), RevertToSnapshot("s1"), DeleteSnapshot("s2"))
    vm.disk().write("C", (2,))
    trial.do(ShutOff(), Start())

    trial.verify("base is there")


def test_what_is_inside_a_lower_layer_is_not_deleted_half(trial: Trial) -> None:
    """base with s1 inside <- cur   stays that while it runs, record and all; off, it is deleted where it is."""
    trial.create_base()
    vm = trial.define().bring_up()
    trial.do(Write("vda", "A", (0, 1)), InternalSnapshot("s1"), Snapshot("vda", "cur"), Write("vda", "B", (1, 2)))
    trial.refused(DeleteSnapshot("s1"), "for internal snapshot 's1' is not the same as disk image currently used by VM")
    trial.verify("as it was")
    vm.shut_off()
    trial.do(DeleteSnapshot("s1"))

    trial.verify("deleted while the VM is off")


def test_a_base_with_snapshots_inside_takes_what_is_above(trial: Trial, layered: Vm) -> None:
    """base with s0 inside <- sn1 <- sn2 <- cur (live)   becomes   base (live), and s0 is what it was."""
    layered.shut_off()
    trial.do(Start(), InternalSnapshot("s1"))
    vda = layered.disk()
    vda.snapshot("top")
    trial.do(Write("vda", "E", (1, 9)), InternalSnapshot("s2"), Write("vda", "F", (2,)))
    trial.do(ActiveCommit("vda", "cur"), AwaitReady("vda"), Pivot("vda"))
    trial.verify("merged into the layer with s1")
    trial.do(RevertToSnapshot("s1"))

    trial.verify("gone back to s1")
