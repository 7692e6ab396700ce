"""What could go wrong when libvirtd is replaced under a running VM, done on purpose and found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.acts.chain import Pivot
from harness.acts.faults import StartDaemon, StopDaemon
from harness.detect.sabotage import forget_jobs, lose_running_state, open_the_end, pretend, put_back, start_other_qemu
from harness.errors import CheckFailed, WaitTimeout
from harness.stack.daemon import Daemon
from harness.stack.version import Version
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.verdict.checks import verify_all
from harness.verdict.finding import ChecksFailed

pytestmark = pytest.mark.sabotaged


@pytest.fixture
def daemon(upgradable: Daemon) -> Daemon:
    return upgradable


@pytest.mark.usefixtures("layered")
def test_a_libvirtd_that_starts_on_an_empty_state_directory_is_found(trial: Trial) -> None:
    trial.do(StopDaemon())
    lose_running_state(trial)
    with pytest.raises(CheckFailed, match="libvirtd takes up vm1, which is on"):
        trial.do(StartDaemon(upgraded=True))


def test_a_qemu_that_died_while_no_libvirtd_ran_is_found(trial: Trial, layered: Vm) -> None:
    trial.do(StopDaemon())
    trial.daemon.sandbox.signal(layered.domain.qemu_pid, "KILL")
    with pytest.raises(CheckFailed, match="libvirtd takes up vm1, which is on"):
        trial.do(StartDaemon(upgraded=True))


def test_a_qemu_that_was_started_again_is_found(trial: Trial, layered: Vm) -> None:
    trial.do(StopDaemon())
    layered.disk("vda").write("F", (1,))
    trial.do(StartDaemon(upgraded=True))
    start_other_qemu(layered.domain)

    with pytest.raises(ChecksFailed, match="claimed:  QEMU is process") as caught:
        verify_all(trial)
    assert {"same QEMU process", "same boot of the guest"} <= {finding.check for finding in caught.value.findings}


def test_a_write_while_no_libvirtd_ran_that_is_lost_is_found(trial: Trial, layered: Vm) -> None:
    trial.do(StopDaemon())
    layered.disk("vda").write("F", (9,))
    put_back(trial, "cur", "F", 9, stale="D")
    trial.do(StartDaemon(upgraded=True))

    with pytest.raises(CheckFailed, match="cur contains: cell 9 should be F, is D"):
        trial.verify("upgraded")


def test_a_job_that_the_new_libvirtd_does_not_know_is_found(trial: Trial, layered: Vm) -> None:
    with layered.disk("vda").active_commit(into="base") as job:
        job.wait_ready()
        trial.do(StopDaemon())
        forget_jobs(trial)
        trial.do(StartDaemon(upgraded=True))
        trial.things.jobs.timeout = 1.0
        with pytest.raises(WaitTimeout, match="to be known as ready; last seen: its mirror is: no job"):
            job.wait_ready()
        pretend(trial, Pivot("vda"))


@pytest.mark.usefixtures("layered")
def test_a_libvirtd_of_another_version_than_it_was_said_to_be_is_found(trial: Trial) -> None:
    stack = trial.daemon.stack
    trial.daemon.stack = replace(stack, newer=replace(stack.newer or stack, libvirt_version=Version("99.0.0")))

    trial.do(StopDaemon())
    with pytest.raises(CheckFailed, match=r"libvirtd 99\.0\.0 was announced, and version"):
        trial.do(StartDaemon(upgraded=True))


def test_a_live_xml_that_leaves_the_end_of_the_chain_open_is_found(trial: Trial, layered: Vm) -> None:
    assert layered.xml().count("<backingStore/>") == 1
    trial.do(StopDaemon())
    open_the_end(trial)
    trial.do(StartDaemon())

    with pytest.raises(ChecksFailed) as caught:
        verify_all(trial)
    assert [finding.check for finding in caught.value.findings] == ["end of the chain in the live XML"]
