"""Saboteurs of QEMU: its nodes and what hangs on them, how it lives and how it ends; and of its guest."""

from __future__ import annotations

from harness.acts.power import ShutOff, Suspend
from harness.detect import traces
from harness.detect.behind import qmp, reboot, start_other_qemu, throttle, write_into_log
from harness.detect.lies import pretend, read_wrong, swapped
from harness.detect.saboteur import CLAIM, Family, Saboteur, Scene
from harness.errors import AgentError
from harness.verdict.explanation import explain


def _second_node(scene: Scene) -> None:
    file = {"driver": "file", "filename": str(scene.trial.path("base"))}
    node = {"driver": "qcow2", "node-name": "left", "read-only": True, "backing": None, "file": file}
    qmp(scene.vm.domain, "blockdev-add", **node)


def _bitmap(scene: Scene) -> None:
    qmp(scene.vm.domain, "block-dirty-bitmap-add", node="libvirt-4-format", name="left")


def _export(scene: Scene) -> None:
    address = {"type": "unix", "data": {"path": "/export/left.nbd"}}
    qmp(scene.vm.domain, "nbd-server-start", addr=address)
    qmp(scene.vm.domain, "block-export-add", type="nbd", id="left", **{"node-name": "libvirt-4-format"})


def _secret(scene: Scene) -> None:
    data = {"data": "left"}
    spelt = data if scene.trial.daemon.stack.qemu_version.is_at_least("6.0.0") else {"props": data}
    qmp(scene.vm.domain, "object-add", **{"qom-type": "secret", "id": "left", **spelt})


def _resumed(scene: Scene) -> None:
    scene.trial.do(Suspend())
    scene.begin()
    scene.vm.domain.call("the resume", lambda handle: handle.resume())


def _paused_for_a_moment(scene: Scene) -> None:
    scene.vm.domain.call("the pause", lambda handle: handle.suspend())
    scene.vm.domain.call("the resume", lambda handle: handle.resume())


def _killed_in_place_of_shut_off(scene: Scene) -> None:
    pretend(scene.trial, ShutOff(), instead=scene.vm.domain.kill_qemu)


def _killed(scene: Scene) -> None:
    domain = scene.vm.domain
    since = domain.daemon.events.mark()
    domain.daemon.sandbox.signal(domain.qemu_pid, "KILL")
    domain.daemon.events.wait("the VM to be off", lambda event: event.status == "stopped", since=since, timeout=10)


def _killed_under_a_read(scene: Scene) -> None:
    _killed(scene)
    explain(scene.trial, AgentError("disk server", "the connection is gone"))


def _stopped(scene: Scene) -> None:
    scene.vm.domain.daemon.sandbox.signal(scene.vm.domain.qemu_pid, "STOP")


def _stopped_before_an_act(scene: Scene) -> None:
    _stopped(scene)
    scene.broken()
    scene.vm.disk("vda").snapshot("late")


def _crashed_at_its_end(scene: Scene) -> None:
    """All is well on the disk: only its exit status tells."""
    scene.vm.shut_off()
    scene.begin()
    pid = scene.vm.domain.first_qemu_pid
    with (scene.trial.daemon.directory / "sandbox.log").open("a") as log:
        log.write(f"[dumb-init] A child with PID {pid} was terminated by signal 6.\n")


def _misread(scene: Scene) -> None:
    port, honest = scene.vm.domain.port, scene.vm.domain.port.read

    def read(target: str, length: int) -> bytes:
        scene.lies += 1
        return read_wrong(honest(target, length))

    scene.stack.enter_context(swapped(port, "read", read))
    scene.broken()
    scene.trial.verify("read wrong")


def _process_state(scene: Scene) -> object:
    """Whether QEMU runs, has stopped, or is gone."""
    file = scene.trial.daemon.sandbox.process(scene.vm.domain.first_qemu_pid) / "stat"
    return file.read_text().rpartition(")")[2].split()[0] if file.exists() else ""


_Q, _G = Family.QEMU, Family.GUEST
ROWS = (
    Saboteur(
        "a node that is left",
        _Q,
        "QEMU has base open once more",
        ("block nodes", "options of block nodes"),
        "libvirt-1-format (qcow2 of base)",
        _second_node,
        traces.nodes,
    ),
    Saboteur(
        "limits that nobody set",
        _Q,
        "QEMU slows the disk down",
        ("options of block nodes",),
        "iops 100000",
        lambda scene: throttle(scene.vm.domain, "vda"),
        lambda scene: scene.vm.domain.monitor("query-block"),
    ),
    Saboteur(
        "a bitmap that is left",
        _Q,
        "a node of QEMU's has a dirty bitmap",
        ("exports and bitmaps",),
        "has no bitmap",
        _bitmap,
        traces.nodes,
    ),
    Saboteur(
        "an export that is left",
        _Q,
        "QEMU serves a layer over NBD",
        ("exports and bitmaps",),
        "QEMU exports nothing",
        _export,
        traces.exports,
    ),
    Saboteur(
        "a secret that is left",
        _Q,
        "QEMU has a secret that none of its images needs",
        ("secrets in QEMU",),
        "it has left",
        _secret,
        lambda scene: scene.vm.domain.monitor("qom-list", path="/objects"),
    ),
    Saboteur(
        "words in QEMU's log",
        _Q,
        "QEMU's log has what glibc says of broken memory",
        ("QEMU's log",),
        "free(): invalid pointer",
        lambda scene: write_into_log(scene.vm.domain, "free(): invalid pointer"),
        traces.qemu_log,
    ),
    Saboteur(
        "a VM that goes on",
        _Q,
        "it runs though it was suspended",
        ("state", "pauses"),
        "it is paused",
        _resumed,
        traces.events,
    ),
    Saboteur(
        "a pause that nobody asked for",
        _Q,
        "its processors stand still for a moment",
        ("pauses",),
        "it tells: suspended",
        _paused_for_a_moment,
        traces.events,
    ),
    Saboteur(
        "another QEMU",
        _Q,
        "QEMU has ended, and another one was started",
        ("same QEMU process", "same boot of the guest"),
        "QEMU is process",
        lambda scene: start_other_qemu(scene.vm.domain),
        traces.qemu,
    ),
    Saboteur(
        "a kill in place of a shut-off",
        _Q,
        "QEMU is killed where it should end by itself",
        ("QEMU's end", "QEMU's exit status"),
        "was ended by SIGKILL",
        _killed_in_place_of_shut_off,
        traces.ends,
    ),
    Saboteur(
        "a crash at the end",
        _Q,
        "QEMU aborts when it has closed its images (the line is written into the reaper's log)",
        ("QEMU's exit status", "no crash"),
        "was ended by SIGABRT",
        _crashed_at_its_end,
        traces.ends,
    ),
    Saboteur(
        "a QEMU that is killed after the last act",
        _Q,
        "it has ended when the checks begin",
        (CLAIM,),
        "QEMU has ended by itself",
        _killed,
        _process_state,
    ),
    Saboteur(
        "a QEMU that is killed under a read",
        _Q,
        "the guest's connection is gone, since QEMU is",
        (CLAIM,),
        "QEMU has ended by itself: it was ended by SIGKILL",
        _killed_under_a_read,
        _process_state,
    ),
    Saboteur(
        "a QEMU that hangs in an act",
        _Q,
        "it is stopped, and a snapshot is to be made",
        (CLAIM,),
        "QEMU has stopped",
        _stopped_before_an_act,
        _process_state,
    ),
    Saboteur(
        "a QEMU that hangs after the last act",
        _Q,
        "it is stopped when the checks begin",
        (CLAIM,),
        "waiting for query-status of vm1",
        _stopped,
        _process_state,
    ),
    Saboteur(
        "a reboot of the guest",
        _G,
        "the guest is reset, and comes up again",
        ("same boot of the guest",),
        "its boot id is another",
        lambda scene: reboot(scene.vm.domain),
        traces.boot,
    ),
    Saboteur(
        "a guest that reads wrong",
        _G,
        "its device loses the first sector of what it reads",
        (CLAIM,),
        "otherwise, by the guest; as expected, by chainproof's qcow2 reader and QEMU over NBD",
        _misread,
        traces.lies,
    ),
)
