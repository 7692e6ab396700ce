"""Disks that are plugged in and out of a running VM keep every byte, whatever happens to their chains meanwhile."""

from __future__ import annotations

import pytest

from harness.acts.faults import KillDaemon, StartDaemon
from harness.acts.images import CreateImage, WriteImage
from harness.oracle.geometry import Geometry
from harness.oracle.image import QCOW2, Format, Raw
from harness.trial.nouns import Disk, Vm
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("hotplug")
SMALL = Geometry(cells=6)


@pytest.fixture
def vdb(trial: Trial, vm: Vm) -> Disk:
    """A second disk, which is plugged in: data <- top."""
    trial.do(CreateImage("data", "vdb", SMALL))
    disk = vm.disk("vdb")
    disk.attach()
    disk.write("A", (0, 1))
    disk.snapshot("top")
    disk.write("B", (1,))
    return disk


@pytest.mark.parametrize("form", [QCOW2, Raw()], ids=lambda form: form.name)
def test_a_disk_that_is_plugged_in_is_like_any_other(trial: Trial, layered: Vm, form: Format) -> None:
    """[data] plugged into a running VM   snapshot, write, active commit   [data]   with every byte."""
    trial.do(CreateImage("data", "vdb", SMALL, form))
    vdb = layered.disk("vdb")
    vdb.attach()
    vdb.write("A", (0, 2))
    vdb.snapshot("top", form=QCOW2)
    vdb.write("B", (2, 5))
    trial.verify("plugged in")
    with vdb.active_commit("data") as job:
        job.wait_ready()
        vdb.write("C", (1,))
        job.pivot()

    trial.verify("merged")


def test_what_is_unplugged_is_closed_and_comes_back_on_its_chain(trial: Trial, vm: Vm, vdb: Disk) -> None:
    """data <- top   unplugged: whole, with what was not flushed   plugged in again   data <- top."""
    vdb.write("C", (3,), flush=False)
    vdb.detach()
    trial.verify("unplugged")
    vdb.attach()
    trial.verify("plugged in again")
    with vdb.active_commit("data") as job:
        job.wait_ready()
        job.pivot()

    assert vm.guest.same_boot()
    trial.verify("merged")


def test_what_is_done_to_its_images_meanwhile_is_seen(trial: Trial, vda: Disk, vdb: Disk) -> None:
    """data <- top   unplugged, written to from outside, plugged in   the guest sees it; vda is merged meanwhile."""
    vda.write("A", (0,))
    vda.snapshot("sn1")
    vdb.detach()
    trial.do(WriteImage("top", "X", (4,), disk="vdb"))
    with vda.active_commit("base") as job:
        job.wait_ready()
        job.pivot()
    vdb.attach()

    trial.verify("plugged in again")


@pytest.mark.parametrize("plugged", [True, False], ids=["plugged in", "unplugged"])
def test_the_next_libvirtd_and_the_next_qemu_know_which_disks_there_are(
    trial: Trial, vm: Vm, vdb: Disk, plugged: bool
) -> None:
    """data <- top, plugged in or not   libvirtd dies, the VM is shut off and started   as it was."""
    if not plugged:
        vdb.detach()
    trial.do(KillDaemon(), StartDaemon())
    trial.verify("the next libvirtd")
    vm.shut_off()
    vm.start()

    trial.verify("the next QEMU")


def test_a_disk_is_plugged_in_during_a_job_of_another(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur, an active commit of it   data is plugged in, written to, out, and removed   base."""
    vda, vdb = layered.disk(), layered.disk("vdb")
    with vda.active_commit("base") as job:
        job.wait_ready()
        trial.do(CreateImage("data", "vdb", SMALL))
        vdb.attach()
        vdb.write("A", (0, 5))
        vda.write("D", (5,))
        vdb.detach()
        job.pivot()

    assert vda.chain() == vda.expected_chain()
    trial.verify("merged, and unplugged")
