"""Saboteurs of a libvirtd that is replaced under a running VM; each needs a daemon of its own."""

from __future__ import annotations

from dataclasses import replace

from harness.acts.chain import Pivot
from harness.acts.faults import StartDaemon, StopDaemon
from harness.detect import traces
from harness.detect.behind import forget_jobs, lose_running_state, open_the_end, start_other_qemu
from harness.detect.lies import pretend
from harness.detect.patches import put_back
from harness.detect.saboteur import CLAIM, Family, Saboteur, Scene
from harness.stack.version import Version

_UPGRADED = StartDaemon(upgraded=True)


def _empty_state(scene: Scene) -> None:
    scene.trial.do(StopDaemon())
    lose_running_state(scene.trial)
    scene.broken()
    scene.trial.do(_UPGRADED)


def _qemu_dies(scene: Scene) -> None:
    scene.trial.do(StopDaemon())
    scene.trial.daemon.sandbox.signal(scene.vm.domain.qemu_pid, "KILL")
    scene.broken()
    scene.trial.do(_UPGRADED)


def _another_qemu(scene: Scene) -> None:
    scene.trial.do(StopDaemon())
    scene.vm.disk("vda").write("F", (1,))
    scene.trial.do(_UPGRADED)
    start_other_qemu(scene.vm.domain)


def _write_lost(scene: Scene) -> None:
    scene.trial.do(StopDaemon())
    scene.vm.disk("vda").write("F", (9,))
    scene.begin()
    put_back(scene.trial, "cur", "F", 9, stale="D")
    scene.trial.do(_UPGRADED)
    scene.broken()
    scene.trial.verify("upgraded")


def _job_forgotten(scene: Scene) -> None:
    trial = scene.trial
    job = scene.vm.disk("vda").active_commit(into="base")
    job.wait_ready()
    trial.do(StopDaemon())
    forget_jobs(trial)
    trial.do(_UPGRADED)
    trial.things.jobs.timeout = 1.0
    scene.broken()
    try:
        job.wait_ready()
    finally:
        pretend(trial, Pivot("vda"))


def _another_version(scene: Scene) -> None:
    stack = scene.trial.daemon.stack
    another = replace(stack.newer or stack, libvirt_version=Version("99.0.0"))
    scene.trial.daemon.stack = replace(stack, newer=another)
    scene.trial.do(StopDaemon())
    scene.broken()
    scene.trial.do(_UPGRADED)


def _open_end(scene: Scene) -> None:
    scene.trial.do(StopDaemon())
    open_the_end(scene.trial)
    scene.trial.do(StartDaemon())


def _no_daemon(scene: Scene) -> None:
    scene.stack.callback(scene.trial.do, StartDaemon())
    scene.trial.do(StopDaemon())


_D = Family.DAEMON
ROWS = (
    Saboteur(
        "an empty state directory",
        _D,
        "what the old libvirtd kept of its running VMs is gone",
        (CLAIM,),
        "libvirtd takes up vm1, which is on",
        _empty_state,
        traces.libvirts_files,
    ),
    Saboteur(
        "a QEMU that dies while no libvirtd runs",
        _D,
        "the new libvirtd finds no QEMU",
        (CLAIM,),
        "QEMU has ended by itself: it was ended by SIGKILL",
        _qemu_dies,
        traces.ends,
    ),
    Saboteur(
        "another QEMU under a new libvirtd",
        _D,
        "QEMU was started again after the upgrade",
        ("same QEMU process", "same boot of the guest"),
        "QEMU is process",
        _another_qemu,
        traces.qemu,
    ),
    Saboteur(
        "a write that is lost while no libvirtd runs",
        _D,
        "cur has the bytes of before the guest's write",
        (CLAIM,),
        "cur contains: cell 9 should be F, is D",
        _write_lost,
        traces.image("cur"),
    ),
    Saboteur(
        "a job that the new libvirtd does not know",
        _D,
        "the status that it reads has no job in it",
        ("WaitTimeout",),
        "to be known as ready; last seen: its mirror is: no job",
        _job_forgotten,
        traces.libvirts_files,
    ),
    Saboteur(
        "a libvirtd of another version",
        _D,
        "the new libvirtd is of another version than was announced",
        (CLAIM,),
        "libvirtd 99.0.0 was announced, and version",
        _another_version,
        lambda scene: str(scene.trial.daemon.stack.libvirt_version),
    ),
    Saboteur(
        "a chain without an end",
        _D,
        "the live XML of the new libvirtd leaves the end of the chain open",
        ("end of the chain in the live XML",),
        "it leaves the end open",
        _open_end,
        lambda scene: scene.vm.xml().count("<backingStore/>"),
    ),
    Saboteur(
        "no libvirtd at the end",
        _D,
        "it is stopped, and nobody starts it again",
        (CLAIM,),
        "libvirtd runs at the end of a scenario",
        _no_daemon,
        lambda scene: scene.trial.state.daemon,
    ),
)
