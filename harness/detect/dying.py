"""What can die or stop in the middle of a scenario though it should not, and what must be said of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

import libvirt

from harness.acts.chain import Snapshot
from harness.stack.sandbox import IMAGES, SMALL
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.waiting import NotYet, wait_until

Deed = Callable[[Trial, Vm], None]


def libvirtd(name: str) -> Deed:
    """A signal to libvirtd."""
    return lambda trial, _: trial.daemon.sandbox.signal(trial.daemon.pid, name)


def first_process(name: str) -> Deed:
    """A signal to the first process of the sandbox, which only processes outside can send."""
    return lambda trial, _: os.kill(trial.daemon.sandbox.pid, signal.Signals[f"SIG{name}"])


def qemu(name: str) -> Deed:
    """A signal to QEMU."""
    return lambda trial, vm: trial.daemon.sandbox.signal(vm.domain.qemu_pid, name)


def storage_daemon(name: str) -> Deed:
    """A signal to the storage daemon, which runs by then."""

    def send(trial: Trial, _: Vm) -> None:
        trial.verify("before")
        sandbox = trial.daemon.sandbox
        (pid,) = (
            int(process.name)
            for process in sandbox.process(1).parent.glob("[0-9]*")
            if (process / "comm").read_text().startswith("qemu-storage")
        )
        sandbox.signal(pid, name)

    return send


def keeper(trial: Trial, _: Vm) -> None:
    """The process that is to remove the run directory is killed."""
    keeper = trial.daemon.sandbox.run_directory._keeper
    assert keeper is not None
    os.kill(keeper.pid, signal.SIGKILL)


def panic(_: Trial, vm: Vm) -> None:
    """The guest's kernel panics; nobody answers any more."""
    vm.domain.agent.command("guest-exec", {"path": "/bin/sh", "arg": ["-c", "echo c > /proc/sysrq-trigger"]})
    wait_until("the guest to panic", lambda: _panicked(vm), timeout=10)


def _panicked(vm: Vm) -> None:
    if not vm.domain.panic():
        raise NotYet("its console says nothing of it")


def stop_vcpus(_: Trial, vm: Vm) -> None:
    """Behind the oracle's back."""
    vm.domain.call("the pause", lambda handle: handle.suspend())


def kill_disk_server(_: Trial, vm: Vm) -> None:
    """The guest's own program that reads and writes for us."""
    vm.domain.agent.run("killall disk-server")


def fill_disk(trial: Trial, vm: Vm) -> None:
    """The active layer is on a file system that has no room for what the guest writes."""
    there = str(SMALL / "full.qcow2")
    xml = Snapshot("vda", "full").call(trial.state).xml.replace(str(IMAGES / "full.qcow2"), there)
    vm.domain.call(
        "the snapshot", lambda handle: handle.snapshotCreateXML(xml, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY)
    )
    vm.disk("vda").write("F", range(12))


@dataclass(frozen=True)
class Fault:
    """How to bring it about, and a regex for what must be said of it."""

    bring_about: Deed
    told: str


FAULTS = {
    "libvirtd is killed": Fault(libvirtd("KILL"), "libvirtd was ended by SIGKILL"),
    "libvirtd crashes": Fault(libvirtd("SEGV"), "libvirtd was ended by SIGSEGV"),
    "libvirtd stops": Fault(libvirtd("STOP"), "libvirtd has stopped"),
    "the sandbox is killed": Fault(first_process("KILL"), "the first process of the sandbox was ended by SIGKILL"),
    "the sandbox stops": Fault(first_process("STOP"), "the first process of the sandbox has stopped"),
    "QEMU is killed": Fault(qemu("KILL"), "QEMU .*was ended by SIGKILL"),
    "QEMU crashes": Fault(qemu("SEGV"), "QEMU .*was ended by SIGSEGV"),
    "QEMU stops": Fault(qemu("STOP"), "QEMU has stopped"),
    "the storage daemon is killed": Fault(storage_daemon("KILL"), "qemu-storage-daemon was ended by SIGKILL"),
    "the storage daemon crashes": Fault(storage_daemon("SEGV"), "qemu-storage-daemon was ended by SIGSEGV"),
    "the storage daemon stops": Fault(storage_daemon("STOP"), "qemu-storage-daemon has stopped"),
    "the keeper is killed": Fault(keeper, "the keeper of .* was ended by SIGKILL"),
    "the guest panics": Fault(panic, "the guest has panicked: Kernel panic"),
    "the vCPUs are stopped": Fault(stop_vcpus, "the VM is paused: lifecycle vm1 suspended"),
    "the guest's disk server is killed": Fault(kill_disk_server, "the guest's disk server has closed its port"),
    "the host's disk is full": Fault(fill_disk, "the VM is paused: .*No space left on device"),
}
"""By name."""
