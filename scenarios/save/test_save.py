"""A guest that is saved goes on where it was, on the chain that it had: each byte that it wrote is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.chain import ActiveCommit, AwaitReady, Copy, Pivot
from harness.acts.faults import KillDaemon, StartDaemon, StopDaemon
from harness.acts.saving import Save
from harness.oracle.image import Qcow2
from harness.oracle.state import DIRECTORY
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("restore")
MEANWHILE: Mapping[str, Sequence[Act]] = {
    "same libvirtd": (),
    "next libvirtd": (StopDaemon(), StartDaemon()),
    "libvirtd killed": (KillDaemon(), StartDaemon()),
}


@pytest.mark.parametrize("file", ["", str(DIRECTORY / "memory")], ids=["managed", "file"])
@pytest.mark.parametrize(
    "meanwhile", ["same libvirtd", pytest.param("next libvirtd", marks=pytest.mark.full), "libvirtd killed"]
)
def test_a_saved_guest_goes_on_where_it_was(trial: Trial, layered: Vm, file: str, meanwhile: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   saved, restored, committed   base   in the same boot of the guest."""
    vda = layered.disk()
    vda.write("W", (4,), flush=False)
    layered.save(file)
    trial.verify("saved: what the guest had not flushed, too")
    trial.do(*MEANWHILE[meanwhile])
    layered.restore()
    trial.verify("restored")
    vda.snapshot("later")
    vda.write("X", (1, 4))
    with vda.active_commit("base") as job:
        job.wait_ready()
        job.pivot()

    assert layered.guest.same_boot()
    assert vda.chain() == vda.expected_chain()
    trial.verify("merged into the base")


def test_what_was_saved_and_is_forgotten_boots(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur   saved, forgotten, started   the same chain, and another boot."""
    layered.disk().write("W", (4,), flush=False)
    layered.save()
    layered.remove_saved()
    layered.bring_up()

    trial.verify("booted on what was saved")


def test_it_is_saved_once_more_in_the_middle_of_its_chains_life(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur   saved after each change of the chain   restored on the chain as it then is."""
    vda = layered.disk()
    for layer in ("n1", "n2"):
        layered.save()
        layered.restore()
        vda.snapshot(layer)
        vda.write(layer.upper(), (2, 5))
    layered.save()
    layered.restore()
    with vda.commit("n1", "base") as job:
        job.wait_completed()
    layered.save()
    layered.restore()

    assert layered.guest.same_boot()
    trial.verify("restored four times")


@pytest.mark.cold
def test_images_with_lazy_refcounts_are_saved(trial: Trial) -> None:
    """base <- sn1 (live, lazy refcounts)   saved and restored   as it was, and clean."""
    lazy = Qcow2(lazy_refcounts=True)
    trial.create_base(form=lazy)
    vm = trial.define().start()
    vda = vm.disk()
    vda.write("A", (0, 1))
    vda.snapshot("sn1", form=lazy)
    vda.write("B", (1, 2), flush=False)
    vm.save()
    trial.verify("saved")
    vm.restore()

    trial.verify("restored")


JOBS: Mapping[str, tuple[Sequence[Act], Act, str]] = {
    "an active commit": (
        (ActiveCommit("vda", "base"), AwaitReady("vda")),
        Pivot("vda"),
        "(^|: )domain has active block job",
    ),
    "a copy": ((Copy("vda", "copy"), AwaitReady("vda")), Pivot("vda"), "(^|: )domain has active block job"),
}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("file", ["", str(DIRECTORY / "memory")], ids=["managed", "file"])
def test_it_is_not_saved_during_a_job(trial: Trial, layered: Vm, job: str, file: str) -> None:
    """base <- sn1 <- sn2 <- cur (live, a job)   save is refused   the job goes on, and ends as it is told to."""
    begin, end, words = JOBS[job]
    trial.do(*begin)
    trial.refused(Save(file), words)
    trial.do(end)
    layered.disk().write("W", (4,))

    trial.verify("after the job")
