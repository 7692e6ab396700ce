"""What could go wrong when libvirtd is replaced under a running VM, done on purpose and found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.detect.sabotage import forget_jobs, lose_running_state, put_back
from harness.errors import CheckFailed, WaitTimeout
from harness.stack.daemon import Daemon
from harness.stack.version import Version
from harness.trial.trial import Trial
from harness.trial.upgrade import libvirtd_upgraded
from harness.verdict.checks import verify_all
from harness.vm.domain import Domain

pytestmark = pytest.mark.sabotaged


@pytest.fixture
def daemon(upgradable: Daemon) -> Daemon:
    return upgradable


@pytest.mark.usefixtures("layered")
def test_a_libvirtd_that_starts_on_an_empty_state_directory_is_found(trial: Trial) -> None:
    with pytest.raises(CheckFailed, match="libvirtd takes up the running vm1"), libvirtd_upgraded(trial):
        lose_running_state(trial)


def test_a_qemu_that_died_while_no_libvirtd_ran_is_found(trial: Trial, layered: Domain) -> None:
    with pytest.raises(CheckFailed, match="libvirtd takes up the running vm1"), libvirtd_upgraded(trial):
        trial.daemon.sandbox.signal(layered.qemu_pid, "KILL")


def test_a_qemu_that_was_started_again_is_found(trial: Trial, layered: Domain) -> None:
    with libvirtd_upgraded(trial):
        layered.guest.write_marker("F", (1,))
    layered.handle.destroy()
    layered.handle.create()

    with pytest.raises(CheckFailed, match="same QEMU process:\nclaimed:  QEMU is process") as caught:
        verify_all(trial)
    assert "same boot of the guest:" in str(caught.value)


def test_a_write_while_no_libvirtd_ran_that_is_lost_is_found(trial: Trial, layered: Domain) -> None:
    with libvirtd_upgraded(trial):
        layered.guest.write_marker("F", (9,))
        put_back(trial, "cur", "F", 9, stale="D")

    with pytest.raises(CheckFailed, match="cur contains: cell 9 should be F, is D"):
        trial.verify("upgraded")


def test_a_job_that_the_new_libvirtd_does_not_know_is_found(trial: Trial, layered: Domain) -> None:
    with layered.disk.active_commit(into="base") as job:
        job.wait_ready()
        with libvirtd_upgraded(trial):
            forget_jobs(trial)
        with pytest.raises(WaitTimeout, match="to be known as ready; last seen: its mirror is: no job"):
            job.wait_ready_again(timeout=1)
        job.pretend_pivoted()


@pytest.mark.usefixtures("layered")
def test_a_libvirtd_of_another_version_than_it_was_said_to_be_is_found(trial: Trial) -> None:
    stack = trial.daemon.stack
    trial.daemon.stack = replace(stack, newer=replace(stack.newer or stack, libvirt_version=Version("99.0.0")))

    with pytest.raises(CheckFailed, match=r"libvirtd 99\.0\.0 has taken over"), libvirtd_upgraded(trial):
        pass
