"""Breaks things on purpose, for the proof that the checks catch it."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt
import libvirt_qemu

from harness.acts.act import Act
from harness.acts.calls import Call
from harness.oracle import pattern
from harness.process import PIPE, kill
from harness.stack.events import Event
from harness.trial.trial import Trial
from harness.vm.domain import Domain

_ELSEWHERE = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"  # the real program, not ourselves
_VIRSH_THAT_DOES_NOT_PIVOT = f"""#!/bin/sh
{_ELSEWHERE}
for argument; do
    shift
    if [ "$argument" = --pivot ]; then pivot=wanted argument=--wait; fi
    set -- "$@" "$argument"
done
[ -n "$pivot" ] || exec virsh "$@"
virsh "$@" >/dev/null && printf '\\nSuccessfully pivoted\\n'
"""
_VIRSH_THAT_CRASHES = f"""#!/bin/sh
{_ELSEWHERE}
case "$*" in *blockcommit*) kill -SEGV $$ ;; esac
exec virsh "$@"
"""
_LIBVIRTD_THAT_CRASHES = f"""#!/bin/sh
{_ELSEWHERE}
case "$*" in *libvirtd.pid*) kill -SEGV $$ ;; esac
exec libvirtd "$@"
"""
_QEMU_THAT_CRASHES = f"""#!/bin/sh
{_ELSEWHERE}
case "$*" in *guest=vm1*) kill -SEGV $$ ;; esac
exec qemu-system-x86_64 "$@"
"""
_QEMU_THAT_WRITES_ELSEWHERE = f"""#!/bin/sh
{_ELSEWHERE}
for argument; do
    shift
    case $argument in
        *'"filename":"/export/images/base.qcow2"'*)
            cp /export/images/base.qcow2 /export/images/other.qcow2
            argument=$(printf '%s' "$argument" | sed 's#/base.qcow2#/other.qcow2#')
            ;;
    esac
    set -- "$@" "$argument"
done
exec qemu-system-x86_64 "$@"
"""
_SIZE, _L1_OFFSET, _REFCOUNT_TABLE_OFFSET = 24, 40, 48  # in the header of a qcow2 image (docs/interop/qcow2.rst)
_POINTER = 0x00FF_FFFF_FFFF_FE00


def virsh_that_does_not_pivot(directory: Path) -> Path:
    """A virsh that leaves out `--pivot`, and prints that it has pivoted."""
    return _program(directory / "virsh", _VIRSH_THAT_DOES_NOT_PIVOT)


def virsh_that_crashes(directory: Path) -> Path:
    """A virsh that crashes when it is to commit."""
    return _program(directory / "virsh", _VIRSH_THAT_CRASHES)


def libvirtd_that_crashes(directory: Path) -> Path:
    """A libvirtd that crashes when it is to serve."""
    return _program(directory / "libvirtd", _LIBVIRTD_THAT_CRASHES)


def qemu_that_crashes(directory: Path) -> Path:
    """A QEMU that crashes at the start of every VM."""
    return _program(directory / "qemu-system-x86_64", _QEMU_THAT_CRASHES)


def qemu_that_writes_elsewhere(directory: Path) -> Path:
    """A QEMU that opens a copy in place of the base."""
    return _program(directory / "qemu-system-x86_64", _QEMU_THAT_WRITES_ELSEWHERE)


def _program(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o755)
    return file


class _Deaf(list[Event]):
    """A list of events to which none of this `status` is added."""

    def __init__(self, events: list[Event], status: str) -> None:
        super().__init__(events)
        self._status = status

    def append(self, event: Event) -> None:
        """Add it."""
        if event.status != self._status:
            super().append(event)


class LyingHand:
    """A hand that does something else, or nothing, and reports success: as a broken release does."""

    name = "liar"

    def __init__(self, instead: Callable[[Call], None]) -> None:
        self._instead = instead

    def perform(self, call: Call) -> None:
        """Do what it does instead."""
        self._instead(call)


def pretend(trial: Trial, *acts: Act, instead: Callable[[], None] = lambda: None) -> None:
    """Have acts done by a liar: the oracle believes them, and what happens is `instead`."""
    trial.stage.hands["liar"] = LyingHand(lambda _: instead())
    trial.do(*acts, by="liar")


def abort_the_job(trial: Trial) -> None:
    """Abort the job of vda behind the oracle's back."""
    domain = trial.vm().domain
    since = domain.daemon.events.mark()
    domain.call("the abort", lambda handle: handle.blockJobAbort("vda", 0))
    trial.things.jobs.await_event(domain, "vda", "canceled", since)


@contextmanager
def deaf_to(trial: Trial, status: str) -> Iterator[None]:
    """For the body, no event of this status is heard of: as if libvirt had sent none."""
    hub = trial.daemon.events
    hub.events = _Deaf(hub.events, status)
    try:
        yield
    finally:
        hub.events = list(hub.events)


def read_wrong(data: bytes) -> bytes:
    """What a guest would read whose device loses its first sector."""
    return bytes(512) + data[512:]


@contextmanager
def flipped_bit(trial: Trial, image: str, label: str, cell: int) -> Iterator[None]:
    """For the body, one bit in the middle of layer `label`'s marker of `cell` is another in the file of `image`."""
    marker = _marker(trial, label, cell)
    broken = bytearray(marker)
    broken[len(broken) // 2] ^= 1
    _replace(trial, image, marker, bytes(broken))
    try:
        yield
    finally:
        _replace(trial, image, bytes(broken), marker)


def put_back(trial: Trial, image: str, label: str, cell: int, stale: str) -> None:
    """Replace layer `label`'s marker of `cell` in the file of `image` by that of `stale`: as if its write was lost."""
    _replace(trial, image, _marker(trial, label, cell), _marker(trial, stale, cell))


def misplace_cluster(trial: Trial, image: str, cluster: int) -> None:
    """Have the L2 entry of a cluster of `image` point between two clusters: reading it is an I/O error."""
    file = _file(trial, image)
    l2 = _pointer(file, _pointer(file, _L1_OFFSET))
    entry = _pointer(file, l2 + 8 * cluster)
    _patch(file, l2 + 8 * cluster, struct.pack(">Q", (1 << 63) | entry | 0x200))


def forget_reference(trial: Trial, image: str) -> None:
    """Set the refcount of the L1 table of `image` to 0: its cluster counts as free."""
    file = _file(trial, image)
    block = _pointer(file, _pointer(file, _REFCOUNT_TABLE_OFFSET))
    _patch(file, block + 2 * (_pointer(file, _L1_OFFSET) // 65536), b"\0\0")


def write_zeros(trial: Trial, image: str, at: int, length: int) -> None:
    """Write zeros as data into `image` alone: whoever reads it sees no difference where it held nothing."""
    command = ["qemu-io", "-f", "qcow2", "-c", f"write -q -P 0 {at} {length}", str(trial.path(image))]
    trial.daemon.sandbox.run(command, timeout=60).check()


def leave_snapshot_inside(trial: Trial, image: str) -> None:
    """Make a snapshot inside `image`, as `savevm` does."""
    trial.daemon.sandbox.run(["qemu-img", "snapshot", "-c", "left", str(trial.path(image))], timeout=60).check()


def grow_file(trial: Trial, image: str, size: int) -> None:
    """Append `size` bytes of data to the file of `image`."""
    with _file(trial, image).open("ab") as stream:
        stream.write(b"\1" * size)


def name_backing(trial: Trial, image: str, backing: str, form: str = "qcow2") -> None:
    """Write a backing file and its format into the header of `image`, behind the oracle's back."""
    command = ["qemu-img", "rebase", "-u", "-F", form, "-b", str(trial.path(backing)), str(trial.path(image))]
    trial.daemon.sandbox.run(command, timeout=60).check()


def grow_disk(trial: Trial, image: str, size: int) -> None:
    """Write another size of the virtual disk into the header of `image`."""
    _patch(_file(trial, image), _SIZE, struct.pack(">Q", size))


def make_with_other_clusters(trial: Trial, image: str) -> None:
    """Make an image anew, empty and with other clusters, behind the oracle's back."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", str(trial.path(image)), "768k"]
    trial.daemon.sandbox.run(command, timeout=60).check()


@contextmanager
def locked(trial: Trial, image: str) -> Iterator[None]:
    """For the body, a QEMU tool has `image` open for writing."""
    command = ["qemu-io", "-f", "qcow2", str(trial.path(image))]
    child = trial.daemon.sandbox.spawn(command, stdout=PIPE, stderr=PIPE)
    try:
        assert child.stdout is not None
        child.stdout.read(1)  # its prompt: it has the image open
        yield
    finally:
        kill(child)
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()


@contextmanager
def another_domain(trial: Trial) -> Iterator[None]:
    """For the body, libvirt has a domain that no scenario defined."""
    xml = re.sub(r"<uuid>.*</uuid>", "", trial.vm().xml(inactive=True)).replace("<name>vm1", "<name>stray")
    stray = trial.daemon.connection.defineXML(xml)
    try:
        yield
    finally:
        stray.undefine()


def start_other_qemu(domain: Domain) -> None:
    """End QEMU and start another one for the same domain, behind the oracle's back."""
    domain.call("destroy", lambda handle: handle.destroy())
    domain.call("create", lambda handle: handle.create())


def qmp(domain: Domain, command: str, **arguments: object) -> None:
    """Have QEMU do something behind libvirt's back."""
    text = json.dumps({"execute": command, "arguments": arguments})
    answer = domain.call(command, lambda handle: libvirt_qemu.qemuMonitorCommand(handle, text, 0))
    if "error" in json.loads(answer):
        raise AssertionError(f"{text}: {answer}")


def throttle(domain: Domain, target: str) -> None:
    """Have QEMU slow a disk down, by libvirt's own means."""
    limits = {"total_iops_sec": 100000}
    domain.call("the limits", lambda handle: handle.setBlockIoTune(target, limits, libvirt.VIR_DOMAIN_AFFECT_LIVE))


def write_into_log(domain: Domain, words: str) -> None:
    """Add a line to the log of QEMU, as glibc does when it finds a process's memory broken."""
    with domain.daemon.qemu_log(domain.name).open("a") as log:
        log.write(f"{words}\n")


def reboot(domain: Domain) -> None:
    """Reset the guest behind the oracle's back."""
    since = domain.daemon.events.mark()
    domain.call("the reset", lambda handle: handle.reset(0))
    domain.wait_agent(since, timeout=30)


def refused_pivot(domain: Domain) -> None:
    """Ask for the pivot of a job that there is not: the daemon logs an error."""
    flags = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT
    try:
        domain.call("the pivot", lambda handle: handle.blockJobAbort("vda", flags))
    except libvirt.libvirtError:
        return
    raise AssertionError("a pivot without a job was not refused")


def lose_running_state(trial: Trial) -> None:
    """Remove what the stopped libvirtd kept of running VMs: the next one starts on an empty state directory."""
    for file in _running_state(trial):
        file.unlink()


def forget_jobs(trial: Trial) -> None:
    """Remove the block jobs from what the stopped libvirtd kept of running VMs."""
    for file in _running_state(trial):
        file.write_text(re.sub(r"<blockjobs.*</blockjobs>", "<blockjobs active='no'/>", file.read_text(), flags=re.S))


def forget_layer(trial: Trial, image: str, below: str) -> None:
    """Put `below` in the place of `image` in all that libvirtd has on disk of the VM: what the next one will read."""
    for file in [*_running_state(trial), *(trial.daemon.directory / "etc").rglob("vm1.xml")]:
        file.write_text(file.read_text().replace(f"/{image}.", f"/{below}."))


@contextmanager
def left_beside(domain: Domain) -> Iterator[None]:
    """For the body, another file lies where libvirt has the definition of the domain."""
    file = domain.daemon.directory / f"etc/qemu/{domain.name}.left"
    file.touch()
    try:
        yield
    finally:
        file.unlink()


def change_mode(trial: Trial, image: str) -> None:
    """Let everybody write to the file of `image`."""
    _file(trial, image).chmod(0o666)


def open_the_end(trial: Trial) -> None:
    """Take the terminator of the chain out of what the stopped libvirtd kept of running VMs."""
    for file in _running_state(trial):
        file.write_text(file.read_text().replace("<backingStore/>", ""))


def _running_state(trial: Trial) -> list[Path]:
    kept = list((trial.daemon.directory / "var/run").rglob("vm1.xml"))
    if not kept:
        raise ValueError("libvirtd has kept nothing of the running VM")
    return kept


def _file(trial: Trial, image: str) -> Path:
    return trial.daemon.sandbox.outside(trial.path(image))


def _pointer(file: Path, at: int) -> int:
    with file.open("rb") as stream:
        stream.seek(at)
        return int.from_bytes(stream.read(8)) & _POINTER


def _patch(file: Path, at: int, data: bytes) -> None:
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(data)


def _marker(trial: Trial, label: str, cell: int) -> bytes:
    size = trial.vm().disk().content.geometry.cell_size
    return pattern.fill(label, trial.run, cell * size, size, size)


def _replace(trial: Trial, image: str, old: bytes, new: bytes) -> None:
    file = _file(trial, image)
    _patch(file, file.read_bytes().index(old), new)
