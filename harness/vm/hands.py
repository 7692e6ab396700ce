"""Who performs calls: the Python binding, or virsh; both have the guest, the host and the daemon done alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Protocol
from xml.etree import ElementTree

import libvirt

from harness.acts.calls import KEPT, Argument, Await, Call, Guest, Host, Libvirt, Signal, WentBack
from harness.acts.faces import Face, face_of
from harness.errors import AgentError, CheckFailed, CommandFailed
from harness.oracle import pattern
from harness.oracle.image import Store
from harness.oracle.secret import passphrase
from harness.readers.own import Reader
from harness.stack.block_devices import BlockDevices
from harness.stack.daemon import Daemon
from harness.stack.events import Event, EventKind
from harness.stack.image_server import ImageServer
from harness.stack.sandbox import BUSYBOX, IMAGES
from harness.stack.storage_faults import StorageFaults
from harness.storage.elements import secret_xml
from harness.storage.stores import path_of
from harness.vm.domain import Domain
from harness.vm.domain_view import alias_of, backing_chain, indices, targets
from harness.vm.jobs import Jobs
from harness.vm.offline import OfflineWriter
from harness.vm.takeover import start_daemon
from harness.vm.writer import await_written
from harness.waiting import NotYet, wait_until

COMMAND_TIMEOUT = 120.0
_UNPLUGGED = 30.0  # a guest under TCG lets go within a second; where it is asked by a button, after five
_DOCUMENT, _CHECKPOINT = IMAGES.parent / "document.xml", IMAGES.parent / "checkpoint.xml"
_STARTS_A_JOB = frozenset({"virDomainBlockCommit", "virDomainBlockRebase", "virDomainBlockPull", "virDomainBlockCopy"})


@dataclass
class Things:
    """What hands work on: the daemon, its domains by name, their jobs.

    `run` is the id that patterns carry. `definition` gives the XML of a domain from its name and the arguments of the
    call, `disk` that of one of its disks. `boot` starts one, `bring_up` does from a guest that was saved for all,
    `restore` from where it was saved itself: a file, or None; `revert` has it go back to a snapshot, and says whether
    its QEMU is the same; `reset` resets it. `server` serves images over NBD; `devices` are what images lie on.
    `daemon_pid` is the last started daemon's. `forgotten` are the XMLs of snapshots that libvirt was told to forget.
    """

    daemon: Daemon
    run: str
    definition: Callable[[str, Mapping[str, Argument]], str]
    disk: Callable[[str, str], str]
    boot: Callable[[Domain], None]
    bring_up: Callable[[Domain], None]
    restore: Callable[[Domain, PurePosixPath | None], None]
    revert: Callable[[Domain, str, int], bool]
    reset: Callable[[Domain], None]
    offline: OfflineWriter
    server: ImageServer
    devices: BlockDevices
    faults: StorageFaults
    note: Callable[[str], None]
    domains: dict[str, Domain] = field(default_factory=dict)
    jobs: Jobs = field(default_factory=Jobs)
    daemon_pid: int = 0
    forgotten: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.daemon_pid = self.daemon.pid

    def domain(self, name: str) -> Domain:
        """The domain of this name; raises ValueError if none is defined."""
        if name not in self.domains:
            raise ValueError(f"the trial has defined no domain {name} yet")
        return self.domains[name]

    def same_file(self, one: Store, other: Store) -> bool:
        """Whether two stores are the same file here, whatever links and dots are in their paths."""
        first, second = path_of(one), path_of(other)
        if first is None or second is None:
            return False
        return Reader(self.daemon.sandbox.outside).same_file(first, second)


class Hand(Protocol):
    """Performs calls; `name` is what the journal calls it."""

    name: str

    def perform(self, call: Call) -> object:
        """Perform one, and return what libvirt answers. What fails raises."""


class BindingHand:
    """Calls libvirt through its Python binding; a layer that is no file has no name to libvirt, but its number."""

    name = "binding"

    def __init__(self, things: Things) -> None:
        self.things = things

    def perform(self, call: Call) -> object:
        """Perform it, and return what libvirt answers.

        Raises libvirtError, AgentError, CommandFailed, WaitTimeout, BlockJobFailed, CheckFailed.
        """
        if not (isinstance(call, Host) and call.image):
            self.things.offline.settle()
        match call:
            case Libvirt():
                return self._call_libvirt(call)
            case Guest():
                _in_guest(self.things, call)
            case Host():
                _on_host(self.things, call)
            case Signal():
                _signal(self.things, call)
            case Await():
                _await(self.things, call)
        return None

    def _call_libvirt(self, call: Libvirt) -> object:
        things = self.things
        if call.function == "virDomainSnapshotDelete" and "METADATA_ONLY" in call.flags:
            things.forgotten |= _records(things.domain(call.vm), str(call.args["name"]))
        if call.xml.startswith(KEPT):
            call = replace(call, xml=things.forgotten[call.xml.removeprefix(KEPT)])
        special = _SPECIAL.get(call.function)
        is_plain = call.function not in _HAVE_XML and any(flag.isdigit() for flag in call.flags)  # it must be refused
        if special is not None and not is_plain:
            return special(things, call)
        domain = things.domain(call.vm)
        target = str(call.args.get("disk", ""))
        if call.function in _STARTS_A_JOB:
            things.jobs.expect(domain, target)
            if "COPY" not in call.flags:
                call = _by_index(domain, call, _has_no_path)
        if call.function == "virDomainBackupBegin":
            for disk in backed_up(call.xml):
                things.jobs.expect(domain, disk)
        since = things.daemon.events.mark()
        answer = self._refused(domain, call) if call.fails else self._invoke(domain, call)
        if call.function == "virDomainSnapshotCreateXML" and "REDEFINE" not in call.flags:
            domain.remember_boot(str(answer))
        if call.function == "virDomainAbortJob":
            _await_no_job(domain)
        if call.until:
            things.jobs.await_event(domain, target, call.until, since)
        return answer

    def _refused(self, domain: Domain, call: Libvirt) -> str:
        """Call it, and hear that it fails; raises CheckFailed if it does not, or in other words."""
        try:
            self._invoke(domain, call)
        except (libvirt.libvirtError, CommandFailed) as error:
            if not re.search(call.fails, str(error)):
                raise CheckFailed(f"{call.function} fails: {call.fails}", str(error)) from error
            return str(error)
        raise CheckFailed(f"{call.function} fails", "libvirt says that it is done")

    def _invoke(self, domain: Domain, call: Libvirt) -> object:
        face = face_of(call)
        typed = {name: call.args[key] for key, (name, _) in face.parameters.items() if call.args.get(key)}
        values = {**call.args, "xml": call.xml, "params": typed}
        arguments = [values.get(name) for name, _ in face.arguments if not (face.of and name == "name")]
        if face.has_flags:
            arguments.append(_flags_of(call))
        lookup, name = f"{face.of}LookupByName", call.args.get("name")

        def invoked(handle: libvirt.virDomain) -> object:
            thing = getattr(handle, lookup)(name) if face.of else handle
            return getattr(thing, face.method)(*arguments)

        return _named(domain.call(face.method, invoked))


def backed_up(xml: str) -> Iterator[str]:
    """The disks that a backup's XML names, and does not leave out."""
    disks = ElementTree.fromstring(xml).iterfind("disks/disk")
    yield from (disk.get("name", "") for disk in disks if disk.get("backup") != "no")


def _records(domain: Domain, name: str) -> dict[str, str]:
    """The XMLs of a snapshot and of all that came after it, by their names."""

    def read(handle: libvirt.virDomain) -> dict[str, str]:
        first = handle.snapshotLookupByName(name)
        known = [first, *first.listAllChildren(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS)]
        return {str(each.getName()): str(each.getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE)) for each in known}

    return domain.call("the records of snapshots", read)


def _named(answer: object) -> object:
    """An answer with the names of checkpoints and snapshots in their place, in the order in which they are told."""
    if isinstance(answer, list):
        return [_named(each) for each in answer]
    return str(answer.getName()) if hasattr(answer, "getName") else answer


def _flags_of(call: Libvirt) -> int:
    face = face_of(call)
    return sum(_flag(face, flag) for flag in call.flags)


def _flag(face: Face, flag: str) -> int:
    return int(flag) if flag.isdigit() else int(getattr(libvirt, face.prefix + flag))


class PathHand(BindingHand):
    """Calls a disk by the path of its active layer, where others name its target."""

    name = "by path"

    def _invoke(self, domain: Domain, call: Libvirt) -> object:
        args = dict(call.args)
        if "disk" in args:
            args["disk"] = str(path_of(backing_chain(domain.xml(), str(args["disk"]))[-1]))
        return super()._invoke(domain, replace(call, args=args))


class IndexHand(BindingHand):
    """Calls the layers of a disk by their numbers in the live XML (vda[2]), where others name their paths."""

    name = "by index"

    def _invoke(self, domain: Domain, call: Libvirt) -> object:
        return super()._invoke(domain, _by_index(domain, call, lambda _: True))


def _by_index(domain: Domain, call: Libvirt, chosen: Callable[[str], bool]) -> Libvirt:
    """The call with the numbers of those layers whose names are `chosen`."""
    args = dict(call.args)
    layers = {name: str(args[name]) for name in ("base", "top") if args.get(name) and chosen(str(args[name]))}
    if layers:
        numbers = indices(domain.xml(), str(args["disk"]))
        args |= {name: f"{args['disk']}[{numbers[layer]}]" for name, layer in layers.items()}
    return replace(call, args=args)


def _has_no_path(layer: str) -> bool:
    return layer.startswith("nbd+")


class VirshHand(BindingHand):
    """Types each call of libvirt as a virsh command, inside the stack."""

    name = "virsh"

    def _invoke(self, domain: Domain, call: Libvirt) -> object:
        daemon = self.things.daemon
        for name, document in ((call.xml, _DOCUMENT), (call.args.get("checkpoint"), _CHECKPOINT)):
            if name:
                daemon.sandbox.outside(document).write_text(str(name))
        return domain.call(call.function, lambda _: daemon.virsh(*spelt(call, _DOCUMENT)[1:]).check().stdout)


def _await_no_job(domain: Domain) -> None:
    """Wait until the domain has no job of its own any more: it ends after the call that asks for that."""

    def ended() -> None:
        kind = domain.call("jobinfo", lambda handle: handle.jobInfo())[0]
        if kind != libvirt.VIR_DOMAIN_JOB_NONE:
            raise NotYet(f"its type is {kind} (virDomainJobType)")

    wait_until(f"the end of the job of {domain.name}", ended, timeout=30, interval=0.005)


def spelt(call: Libvirt, document: PurePosixPath) -> list[str]:
    """The virsh command line for a call; its XML, if it has one, is in the file `document`."""
    face = face_of(call)
    words = ["virsh", face.verb, call.vm]
    for name, option in face.arguments:
        value = str(document) if name == "xml" else call.args.get(name)
        if name == "checkpoint" and value:
            value = str(_CHECKPOINT)
        if value is None or (name == "bandwidth" and value == 0 and face.method != "blockJobSetSpeed"):
            continue
        in_bytes = name == "size" and "BYTES" in call.flags
        words += [*([option] if option else []), f"{value}B" if in_bytes else str(value)]
    for key, (_, option) in face.parameters.items():
        if call.args.get(key):
            words += [*option.split(), str(call.args[key])]
    words += face.always
    return [*words, *(face.flags[flag] for flag in call.flags if face.flags[flag])]


def _define(things: Things, call: Libvirt) -> None:
    domain = things.domains.get(call.vm) or Domain(things.daemon, call.vm, things.note)
    things.domains[call.vm] = domain
    domain.define(things.definition(call.vm, call.args))


def _create(things: Things, call: Libvirt) -> None:
    domain = things.domain(call.vm)
    if call.args.get("from"):
        things.restore(domain, None)
    else:
        things.boot(domain)


def _restore(things: Things, call: Libvirt) -> None:
    things.restore(things.domain(call.vm), PurePosixPath(str(call.args["file"])))


def _save(things: Things, call: Libvirt) -> None:
    file = call.args.get("file")
    things.domain(call.vm).save(PurePosixPath(str(file)) if file else None)


def _attach(things: Things, call: Libvirt) -> None:
    domain, target = things.domain(call.vm), str(call.args["disk"])
    xml, flags = things.disk(call.vm, target), _flags_of(call)
    domain.call(f"the attachment of {target}", lambda handle: handle.attachDeviceFlags(xml, flags))
    domain.port.await_disk(target)


def _detach(things: Things, call: Libvirt) -> None:
    domain, target = things.domain(call.vm), str(call.args["disk"])
    xml, flags = things.disk(call.vm, target), _flags_of(call)
    alias, since = alias_of(domain.xml(), target), things.daemon.events.mark()
    domain.call(f"the detachment of {target}", lambda handle: handle.detachDeviceFlags(xml, flags))
    things.daemon.events.wait(
        f"the guest to let go of {target}",
        lambda event: event.kind is EventKind.DEVICE_REMOVED and (event.domain, event.subject) == (call.vm, alias),
        since=since,
        timeout=_UNPLUGGED,
        ailment=domain.ailment,
    )


def _revert(things: Things, call: Libvirt) -> WentBack:
    """Go back to a snapshot; where the disks lie then, as the definition says."""
    domain = things.domain(call.vm)
    same_qemu = things.revert(domain, str(call.args["name"]), _flags_of(call))
    xml = domain.xml(inactive=True)
    return WentBack({target: str(path_of(backing_chain(xml, target)[-1])) for target in targets(xml)}, same_qemu)


def _resume(things: Things, call: Libvirt) -> None:
    things.domain(call.vm).resume()


def _undefine(things: Things, call: Libvirt) -> None:
    things.domain(call.vm).undefine()


_HAVE_XML = frozenset({"virDomainAttachDeviceFlags", "virDomainDetachDeviceFlags"})
_SPECIAL: Mapping[str, Callable[[Things, Libvirt], object]] = {
    "virDomainDefineXML": _define,
    "virDomainUndefine": _undefine,
    "virDomainRevertToSnapshot": _revert,
    "virDomainResume": _resume,
    "virDomainCreate": _create,
    "virDomainAttachDeviceFlags": _attach,
    "virDomainDetachDeviceFlags": _detach,
    "virDomainRestore": _restore,
    "virDomainSave": _save,
    "virDomainManagedSave": _save,
    "virDomainRestoreFlags": lambda things, call: things.bring_up(things.domain(call.vm)),
    "virDomainDestroyFlags": lambda things, call: things.domain(call.vm).shut_off(),
    "virDomainReset": lambda things, call: things.reset(things.domain(call.vm)),
}
"""What takes more than the one call: the guest is to be reached, the end awaited, the object looked up."""


def _end_agent(things: Things, domain: Domain, script: str) -> None:
    since = things.daemon.events.mark()
    domain.agent.run(script)

    def gone(event: Event) -> bool:
        return (
            event.domain == domain.name and event.kind is EventKind.AGENT_LIFECYCLE and event.status == "disconnected"
        )

    things.daemon.events.wait("the agent to be gone", gone, since=since, timeout=10, ailment=domain.ailment)


def _in_guest(things: Things, call: Guest) -> None:
    domain = things.domain(call.vm)
    if call.verb == "run":
        domain.agent.run(call.script)
        return
    if call.verb == "freeze":
        domain.agent.freeze()
        return
    if call.verb == "thaw":
        domain.agent.thaw()
        return
    if call.verb == "end_agent":
        _end_agent(things, domain, call.script)
        return
    port = domain.port
    match call.verb:
        case "write" if call.label:
            data = pattern.marker(call.label, things.run, call.ranges, call.cell_size)
            port.write(call.disk, call.ranges, data, flush=call.flush)
        case "fail_write":
            data = pattern.marker(call.label, things.run, call.ranges, call.cell_size)
            _fail_write(domain, call, data)
        case "begin_write":
            data = pattern.marker(call.label, things.run, call.ranges, call.cell_size)
            port.begin_write(call.disk, call.ranges, data)
        case "end_write":
            port.end_write()
        case "write":
            zeros = bytes(sum(length for _, length in call.ranges))
            port.write(call.disk, call.ranges, zeros, flush=call.flush)
        case "zero":
            port.zero(call.disk, call.ranges, flush=call.flush)
        case "discard":
            port.discard(call.disk, call.ranges, flush=call.flush)
        case _:
            port.flush(call.disk)


def _fail_write(domain: Domain, call: Guest, data: bytes) -> None:
    """Write, and hear that it has failed; raises CheckFailed if it has not."""
    try:
        domain.port.write(call.disk, call.ranges, data)
    except AgentError as error:
        if error.problem != "error I/O error":  # musl's words for EIO, which a disk has of any error
            raise
        return
    raise CheckFailed(f"the guest is told that its write to {call.disk} has failed", "it is told that all is well")


def _on_host(things: Things, call: Host) -> None:
    if call.image:
        blocks = [
            (offset, pattern.fill(call.label, things.run, offset, length, call.cell_size))
            for offset, length in call.ranges
        ]
        things.offline.write(call.image, blocks)
        return
    if call.lets_go:
        things.server.let_go(call.lets_go)
    if call.serves:
        directory = str(PurePosixPath(call.serves).parent)
        things.daemon.sandbox.run([BUSYBOX, "mkdir", "-p", directory], timeout=COMMAND_TIMEOUT).check()
    if call.fault is not None:
        things.faults.put(call.fault)
    if call.heals:
        things.faults.await_hit()
        things.faults.heal()
    if call.secret:
        xml = secret_xml(call.secret)
        value = passphrase(call.secret).encode()
        things.daemon.call("a secret", lambda connection: connection.secretDefineXML(xml).setValue(value))
    if call.device and call.size:
        things.devices.make(PurePosixPath(call.device), call.size, stale=bool(call.label))
    elif call.device:
        things.devices.wipe(PurePosixPath(call.device))
    if not call.command and call.pace is None:
        return
    if call.pace is not None:
        things.server.pace(call.pace)
        return
    # a tree of a release has no coreutils of its own
    command = [BUSYBOX, *call.command] if call.command[0] == "rm" else call.command
    things.daemon.sandbox.run(command, timeout=COMMAND_TIMEOUT).check()
    if call.serves:
        things.server.serve(PurePosixPath(call.serves))
    if call.then:
        try:
            things.daemon.sandbox.run(call.then, timeout=COMMAND_TIMEOUT).check()
        finally:
            if call.made:
                things.daemon.sandbox.run([BUSYBOX, "rm", call.made], timeout=COMMAND_TIMEOUT)


def _signal(things: Things, call: Signal) -> None:
    match call.process, call.name:
        case "qemu", _:
            things.domain(call.vm).kill_qemu()
        case "libvirtd", "TERM" | "KILL":
            for domain in things.domains.values():
                domain.let_go()
            if call.name == "TERM":
                things.daemon.stop()
            else:
                things.daemon.kill()
        case _:
            start_daemon(things.daemon, things.domains.values(), upgraded=call.name == "UPGRADE")
            things.daemon_pid = things.daemon.pid


def _await_stopped(domain: Domain) -> None:
    stopped = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR)

    def is_stopped() -> None:
        if (state := domain.state()) != stopped:
            raise NotYet(f"its state is {state} (virDomainState, reason)")

    wait_until(f"{domain.name} to be paused by an error", is_stopped, timeout=30, interval=0.005)


def _await(things: Things, call: Await) -> None:
    domain = things.domain(call.vm)
    if call.status == "met":
        things.faults.await_hit()
    elif call.status == "stopped by an error":
        _await_stopped(domain)
    elif call.status == "written":
        await_written(domain.agent)
    elif call.status == "backed up":
        for disk in call.disk.split():
            things.jobs.await_status(domain, disk, "completed")
        _await_no_job(domain)
    elif call.status == "under way":
        things.jobs.await_under_way(domain, call.disk)
    else:
        things.jobs.await_status(domain, call.disk, call.status)
