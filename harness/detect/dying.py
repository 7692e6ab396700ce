"""What can die or stop in the middle of a scenario though it should not, and what must be said of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import libvirt

from harness.acts.snapshot import Snapshot
from harness.detect import traces
from harness.detect.saboteur import CLAIM, Family, Saboteur, Scene, Trace
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


_TEST = "test_what_dies_is_told_by_name_and_the_next_scenario_is_none_the_worse"


def _row(name: str, breaks: str, deed: Deed, words: str, trace: Trace = traces.processes, by: str = CLAIM) -> Saboteur:
    return Saboteur(
        name,
        Family.PROCESS,
        breaks,
        (by,),
        words,
        lambda scene: deed(scene.trial, scene.vm),
        trace,
        elsewhere=_TEST,
    )


def _keeper_lives(scene: Scene) -> object:
    keeper = scene.trial.daemon.sandbox.run_directory._keeper
    return keeper is not None and keeper.poll() is None


def _console(scene: Scene) -> object:
    return scene.vm.domain.console.read_bytes()


ROWS = (
    _row("libvirtd is killed", "libvirtd ends by SIGKILL", libvirtd("KILL"), "libvirtd was ended by SIGKILL"),
    _row("libvirtd crashes", "libvirtd ends by SIGSEGV", libvirtd("SEGV"), "libvirtd was ended by SIGSEGV"),
    _row("libvirtd stops", "libvirtd stands still", libvirtd("STOP"), "libvirtd has stopped"),
    _row(
        "the sandbox is killed",
        "all that runs in the sandbox ends with its first process",
        first_process("KILL"),
        "the first process of the sandbox was ended by SIGKILL",
    ),
    _row(
        "the sandbox stops",
        "its first process stands still",
        first_process("STOP"),
        "the first process of the sandbox has stopped",
    ),
    _row("QEMU is killed", "QEMU ends by SIGKILL", qemu("KILL"), "QEMU ... was ended by SIGKILL"),
    _row("QEMU crashes", "QEMU ends by SIGSEGV", qemu("SEGV"), "QEMU ... was ended by SIGSEGV"),
    _row("QEMU stops", "QEMU stands still", qemu("STOP"), "QEMU has stopped"),
    _row(
        "the storage daemon is killed",
        "QEMU over NBD is gone",
        storage_daemon("KILL"),
        "qemu-storage-daemon was ended by SIGKILL",
        by="StorageDaemonDied",
    ),
    _row(
        "the storage daemon crashes",
        "QEMU over NBD ends by SIGSEGV",
        storage_daemon("SEGV"),
        "qemu-storage-daemon was ended by SIGSEGV",
        by="StorageDaemonDied",
    ),
    _row(
        "the storage daemon stops",
        "QEMU over NBD stands still",
        storage_daemon("STOP"),
        "qemu-storage-daemon has stopped",
    ),
    _row(
        "the keeper is killed",
        "nobody would remove the run directory",
        keeper,
        "the keeper of ... was ended by SIGKILL",
        _keeper_lives,
    ),
    _row("the guest panics", "its kernel answers no more", panic, "the guest has panicked: Kernel panic", _console),
    _row(
        "the vCPUs are stopped",
        "the VM is paused behind the oracle's back",
        stop_vcpus,
        "the VM is paused: lifecycle vm1 suspended",
        traces.events,
    ),
    _row(
        "the guest's disk server is killed",
        "the guest's own program that reads and writes for us is gone",
        kill_disk_server,
        "the guest's disk server has closed its port",
        traces.events,
    ),
    _row(
        "the host's disk is full",
        "the active layer has no room for what the guest writes",
        fill_disk,
        "the VM is paused: ... No space left on device",
        traces.events,
    ),
)
