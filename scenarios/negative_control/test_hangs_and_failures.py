"""What hangs or fails for a reason that only QEMU or the file system knows: the reason is told, nothing waits on."""

from __future__ import annotations

import os

import libvirt
import pytest

from harness.errors import CheckFailed
from harness.stack.sandbox import BUSYBOX, SMALL
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.verdict.explanation import explain
from harness.vm.domain import DomainFailed
from harness.vm.jobs import BlockJobFailed

pytestmark = pytest.mark.sabotaged
_COPY = f"<disk type='file'><source file='{SMALL}/copy'/><driver type='raw'/></disk>"


def test_a_libvirtd_that_hangs_at_the_start_of_a_vm_is_ended(trial: Trial) -> None:
    """Its base is a FIFO, which nobody writes to: there is no QEMU yet that could be killed."""
    trial.create_base()
    base = trial.daemon.sandbox.outside(trial.path("base"))
    base.unlink()
    os.mkfifo(base)
    domain = trial.define().domain
    domain.call_timeout = 0.5

    with pytest.raises(Exception, match="waited 1 s for the start of vm1") as caught:
        domain.start()
    with pytest.raises(CheckFailed, match="libvirtd was ended by SIGKILL, since it hung: the start of vm1"):
        explain(trial, caught.value)
    assert "the start of vm1 hangs: it is broken off. What runs then:" in trial.journal.transcript()


def test_a_job_that_fails_is_told_with_qemus_reason(trial: Trial, layered: Vm) -> None:
    domain = layered.domain
    layered.disk("vda").write("F", range(12))
    fill = [BUSYBOX, "dd", "if=/dev/zero", f"of={SMALL}/filler", "bs=1k", "count=600"]
    trial.daemon.sandbox.run(fill, timeout=10).check()
    trial.things.jobs.expect(domain, "vda")
    flags = libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
    domain.call("the copy", lambda handle: handle.blockCopy("vda", _COPY, {}, flags))

    with pytest.raises(BlockJobFailed, match=r"(?s)waited for ready, but it failed.*QEMU: .*No space left on device"):
        trial.things.jobs.await_status(domain, "vda", "ready")


def test_a_qemu_that_dies_while_its_guest_is_saved_is_told(layered: Vm) -> None:
    domain = layered.domain
    domain.daemon.sandbox.signal(domain.qemu_pid, "KILL")

    with pytest.raises(DomainFailed, match="vm1 was not saved: QEMU was ended by SIGKILL"):
        domain.save(SMALL / "saved")
