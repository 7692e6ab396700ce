"""A throwaway VM: defined, started, reached, shut off and gone. It knows neither oracle nor journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar
from xml.etree import ElementTree

import libvirt
import libvirt_qemu

from harness.errors import Ailing, ChainproofError, CheckFailed, WaitTimeout, how_ended
from harness.stack.daemon import CALL_TIMEOUT, Daemon
from harness.stack.events import Event, EventKind
from harness.stack.sandbox import BUSYBOX, IMAGES
from harness.vm import ailments
from harness.vm.agent import Agent
from harness.vm.disk_port import DiskPort
from harness.vm.domain_xml import DISK_PORT
from harness.vm.guest_host import guest_host
from harness.waiting import wall_clock, watchdog

if TYPE_CHECKING:
    from testinfra.host import Host

T = TypeVar("T")

BOOT_TIMEOUT = 60.0
# of snapshots and checkpoints that a scenario broke off in: else the definition would be in the way of all that follow
_WITH_ALL_OF_IT = (
    libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
)


class DomainFailed(ChainproofError):
    """The VM did not start, or its guest was never reached; carries its last words."""


class Domain:
    """The VM `name` of `daemon`: what libvirt knows of it, by `call` alone, and its guest's two ports.

    As a context it is gone at the end: destroyed, and its definition with it. Its images are its owner's. `note` is
    called with what happens that no scenario means. `hung_in` is the call in which QEMU hung, and was killed, if any.
    `boots` are the kernel's names of the boots that snapshots were made of, by their names.
    """

    def __init__(self, daemon: Daemon, name: str, note: Callable[[str], None] = lambda _: None) -> None:
        self.daemon = daemon
        self.name = name
        self.call_timeout = CALL_TIMEOUT
        self.first_qemu_pid = 0
        self._note = note
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="shut-off")
        self._shut_off: Future[int] | None = None
        self._shut_off_since = 0
        self._is_on = False
        self._since = 0
        self.hung_in = ""
        self._ends = 0
        self._boot = ""
        self._owed: tuple[int, str] | None = None  # since when, and the snapshot whose memory it has
        self.boots: dict[str, str] = {}
        self._persistent = False
        self._port: DiskPort | None = None
        self._handle: libvirt.virDomain | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._let_go_of_guest()
            # without a handle it was never defined, or a daemon has lost it; what is dead ends with its sandbox
            if self._handle is not None and not self.daemon.ailment():
                self.stop_hard()
                if self._persistent:
                    self.call("the end of the definition", lambda handle: handle.undefineFlags(_WITH_ALL_OF_IT))
        finally:
            self._aside.shutdown()
        self._handle = None

    def __str__(self) -> str:
        return self.name

    # libvirt

    def call(self, what: str, function: Callable[[libvirt.virDomain], T]) -> T:
        """Call libvirt on this domain; if that hangs, QEMU is killed so that it returns, and WaitTimeout is raised.

        The only way to libvirt's object. Raises ValueError unless the domain is defined and its daemon runs.
        """
        self.await_shut_off()
        handle = self._handle
        if handle is None:
            raise ValueError(f"domain {self.name} is not defined")
        return self._guarded(what, lambda: function(handle))

    def define(self, xml: str) -> None:
        """Define it."""
        self._handle = self.daemon.call(f"the definition of {self.name}", lambda connection: connection.defineXML(xml))
        self._persistent = True

    def undefine(self) -> None:
        """Remove its definition while it runs."""
        self.call("the end of the definition", lambda handle: handle.undefine())
        self._persistent = False

    def let_go(self) -> None:
        """Do without libvirt's object while no daemon runs."""
        self.await_shut_off()
        self._handle = None

    def take_up(self) -> None:
        """Go on with the object of a daemon that was started anew. Raises libvirtError if it does not know the VM."""
        name = self.name
        self._handle = self.daemon.call(f"looking up {name}", lambda connection: connection.lookupByName(name))

    def xml(self, *, inactive: bool = False) -> str:
        """The domain XML: as it runs, or as it will start next time."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE if inactive else 0
        return str(self.call("dumpxml", lambda handle: handle.XMLDesc(flags)))

    def monitor(self, command: str, **arguments: str) -> str:
        """QEMU's answer (JSON text) to a QMP command; taints the domain, so for checks only."""
        text = json.dumps({"execute": command, "arguments": arguments})
        return str(self.call(command, lambda handle: libvirt_qemu.qemuMonitorCommand(handle, text, 0)))

    def remember_boot(self, snapshot: str) -> None:
        """Keep which boot of the guest a snapshot is of, if it runs."""
        if self._port is not None:
            self.boots[snapshot] = self._boot

    def state(self) -> tuple[int, int]:
        """virDomainState and its reason."""
        number, reason = self.call("the state", lambda handle: handle.state())
        return int(number), int(reason)

    def is_running(self) -> bool:
        """True unless the domain is shut off or has crashed."""
        if self._shut_off is not None:
            return False
        try:
            return bool(self.call("whether it is active", lambda handle: handle.isActive()))
        except libvirt.libvirtError as error:
            if self._persistent or error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            return False  # a transient domain goes with its QEMU

    @property
    def is_on(self) -> bool:
        """Whether it was started, and nobody has ended it since; asks nobody."""
        return self._is_on

    def has_ended_by_itself(self) -> bool:
        """True if it was started, and is off though nobody has ended it."""
        return self._is_on and not self.is_running()

    def await_end(self, since: int) -> None:
        """Wait for the event of the end, which may come after the call: it must not be taken for a later one."""
        self.daemon.events.wait(
            f"libvirt to tell of the end of {self.name}",
            lambda event: event.domain == self.name and event.status == "stopped",
            since=since,
            timeout=10,
        )

    # on and off

    def start(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Boot it and reach its guest. Raises DomainFailed with QEMU's or the guest's last words."""
        self.reach(self._create(), timeout)

    def start_paused(self) -> None:
        """Start its QEMU, and not its guest. Raises DomainFailed with QEMU's last words."""
        self._create(libvirt.VIR_DOMAIN_START_PAUSED)

    def restore(self, saved: PurePosixPath | None, xml: str | None = None) -> None:
        """Start it from a saved guest (None: what libvirt has saved of it), with `xml`, if given, for the saved one.

        The guest's clock is set and its random numbers are stirred: it woke up where many others did.
        """
        self.await_shut_off()
        since = self._before_start()
        connection = self.daemon.connection
        if saved is None:
            self.call("the restore", lambda handle: handle.create())
        else:
            flags = libvirt.VIR_DOMAIN_SAVE_RUNNING
            self._guarded("the restore", lambda: connection.restoreFlags(str(saved), xml, flags))
        self._is_up(since)
        self.reach(since, restored=True)

    def save(self, file: PurePosixPath | None = None) -> None:
        """Save the running guest into a file (virDomainSave), or where libvirt keeps it, and end it."""
        since, pid = self.daemon.events.mark(), self.first_qemu_pid
        self._is_on = False  # its end is meant
        try:
            self.call("the save", lambda handle: handle.save(str(file)) if file else handle.managedSave())
        except libvirt.libvirtError as error:
            status = self.daemon.sandbox.exit_status(pid, self._ends)
            self._is_on = status is None
            how = f"QEMU {how_ended(status)}: " if status is not None else ""
            raise DomainFailed(f"{self.name} was not saved: {how}{error}") from error
        self._let_go_of_guest(for_good=True)
        self.await_end(since)

    def reset(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Press the reset button and reach the guest that boots."""
        since = self.daemon.events.mark()
        self.call("the reset", lambda handle: handle.reset(0))
        self.reach(since, timeout)

    def shut_off(self) -> None:
        """End QEMU politely (it flushes and closes its images); the definition stays."""
        self._let_go_of_guest(for_good=True)
        pid = self.qemu_pid
        self.await_shut_off()
        handle = self._handle
        if handle is None:
            raise ValueError(f"domain {self.name} is not defined")
        self._shut_off_since = self.daemon.events.mark()
        self._shut_off = self._aside.submit(handle.destroyFlags, libvirt.VIR_DOMAIN_DESTROY_GRACEFUL)
        # libvirt polls for QEMU's exit every 0.2 s, but QEMU exits in 0.02 s: we watch the process ourselves
        self._await_exit(pid)

    def revert(self, snapshot: str, flags: int) -> None:
        """Go back to a snapshot, which ends its QEMU, if it has one, or gives it another guest; reach that if it runs.

        Raises CheckFailed if a guest goes on that is of another boot than the one that the snapshot was made of.
        """
        runs = self.is_running()
        pid = self.qemu_pid if runs else 0
        since = self._before_start()
        self._is_on = False  # its end is meant

        def reverted(handle: libvirt.virDomain) -> bool:
            found = handle.snapshotLookupByName(snapshot)
            has_memory = ElementTree.fromstring(found.getXMLDesc()).findtext("state") in ("running", "paused")
            handle.revertToSnapshot(found, flags)
            return has_memory

        try:
            has_memory = self.call("the revert", reverted)
        except libvirt.libvirtError:
            self._is_on = runs  # or that was not meant
            raise
        self._let_go_of_guest(for_good=True)
        if self.is_running():
            if self.qemu_pid != pid:  # the end of the former one is told, too
                since = self._told_of_start(since)
            self._is_up(since)
            self._owed = since, snapshot if has_memory else ""
            if self.state()[0] == libvirt.VIR_DOMAIN_RUNNING:
                self._reach_owed()
        elif runs:
            self._await_exit(pid)
            self.await_end(since)

    def _told_of_start(self, since: int) -> int:
        """Where in the events libvirt tells of the start of its QEMU."""

        def started(event: Event) -> bool:
            return event.domain == self.name and event.kind is EventKind.LIFECYCLE and event.status == "started"

        event = self.daemon.events.wait(
            f"libvirt to tell of the start of {self.name}", started, since=since, timeout=10
        )
        return self.daemon.events.events.index(event, since)

    def resume(self) -> None:
        """Let its processors go on; reach a guest that has not been reached before: see revert."""
        self.call("the resumption", lambda handle: handle.resume())
        self._reach_owed()

    def _reach_owed(self) -> None:
        """Reach the guest that a revert has brought, and that runs now; hold its boot to that of the snapshot."""
        if self._owed is None:
            return
        (since, snapshot), self._owed = self._owed, None
        self.reach(since, restored=bool(snapshot))
        if snapshot and self._boot != self.boots.get(snapshot, self._boot):
            claim = f"the guest that goes on is the one of the snapshot {snapshot}"
            raise CheckFailed(claim, "it is one of another boot")

    def await_shut_off(self) -> None:
        """Wait until libvirt, too, knows that the domain is shut off; raises what it raised."""
        pending, self._shut_off = self._shut_off, None
        if pending is not None:
            self._guarded("the shut-off", pending.result)
            self.await_end(self._shut_off_since)

    def stop_hard(self) -> None:
        """End QEMU if it runs, at once and without flushing anything."""
        self._let_go_of_guest(for_good=True)
        since = self.daemon.events.mark()
        if self.is_running():
            try:
                self.call("destroy", lambda handle: handle.destroy())
            except libvirt.libvirtError as error:  # a QEMU that was killed may end just then
                if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID or self.is_running():
                    raise
            self.await_end(since)

    def kill_qemu(self) -> None:
        """End QEMU with SIGKILL, and wait until libvirt knows, or for the end of QEMU if no daemon runs."""
        self._let_go_of_guest(for_good=True)
        events, pid = self.daemon.events if self._handle is not None else None, self.qemu_pid
        since = events.mark() if events else 0
        self.daemon.sandbox.signal(pid, "KILL")
        if events:
            self.await_end(since)
        else:  # a libvirtd that is started meanwhile would find it alive
            self._await_exit(pid)

    @property
    def qemu_pid(self) -> int:
        """QEMU's pid inside the sandbox."""
        directory = "run/qemu" if self.daemon.mode == "system" else "run/qemu/run"
        return int((self.daemon.directory / "var" / directory / f"{self.name}.pid").read_text())

    # the guest

    @property
    def port(self) -> DiskPort:
        """The guest's disk server; raises ValueError unless the guest was reached (start)."""
        if self._port is None:
            raise ValueError(f"the guest of {self.name} has not been reached")
        return self._port

    @cached_property
    def agent(self) -> Agent:
        """The guest agent of whatever boot is on."""
        return Agent(self.call)

    @cached_property
    def host(self) -> Host:
        """pytest-testinfra's view of the guest."""
        return guest_host(self.name, self.agent.execute)

    def reach(self, since: int, timeout: float = BOOT_TIMEOUT, *, restored: bool = False) -> None:
        """Wait until the guest agent has connected, by an event later than `since`: the guest of this boot.

        An event of the boot before may come late: then the guest closes its ports, and connects once more.
        """
        while True:
            connected = self.wait_agent(since, timeout)
            since = self.daemon.events.events.index(connected, since) + 1
            self._let_go_of_guest()
            port = DiskPort(self.daemon.sandbox.outside(IMAGES.parent / f"{self.name}.disk"), self._ailment_of_port)
            self._port = port
            try:
                # one that was restored woke up where many others did: its clock stands, its random numbers are theirs
                self._boot = port.adjust(round(wall_clock())) if restored else port.boot_id()
            except Ailing:
                if restored or self.ailment():
                    raise
                continue
            return

    def wait_agent(self, since: int, timeout: float = BOOT_TIMEOUT) -> Event:
        """The event that the guest agent has connected; raises DomainFailed with the last words if it does not."""

        def connected_or_dead(event: Event) -> bool:
            return event.domain == self.name and (
                (event.kind is EventKind.AGENT_LIFECYCLE and event.status == "connected")
                or (event.kind is EventKind.LIFECYCLE and event.status in ("stopped", "crashed"))
            )

        what = "the guest agent to connect"
        try:
            event = self.daemon.events.wait(what, connected_or_dead, since=since, timeout=timeout, ailment=self.ailment)
        except WaitTimeout as error:
            raise DomainFailed(f"{error}\n{self._console_ends()}") from error
        except Ailing as error:  # QEMU's end may be seen before libvirt tells of it
            if self.daemon.ailment():
                raise
            raise DomainFailed(f"{error}\n{self._log_ends()}\n{self._console_ends()}") from error
        if event.status != "connected":
            words = f"{self._log_ends()}\n{self._console_ends()}"
            raise DomainFailed(f"QEMU ended before its guest was ready: {event}\n{words}")
        return event

    def same_boot(self) -> bool:
        """True if the guest has not rebooted since it was last reached: "live" is the claim."""
        return self.port.boot_id() == self._boot

    # its last words

    @property
    def console(self) -> Path:
        """What the guest printed on its serial console."""
        return self.daemon.sandbox.outside(IMAGES.parent / f"{self.name}.console")

    def qemu_log_tail(self, lines: int = 12) -> str:
        """The last lines of QEMU's log."""
        return _tail(self.daemon.qemu_log(self.name), lines)

    def console_tail(self, lines: int = 20) -> str:
        """The last lines of the guest's console."""
        return _tail(self.console, lines)

    def ailment(self) -> str:
        """Why its guest cannot go on, in words, or nothing: something has died or stopped. Asks nobody."""
        return self.dead() or self._pause() or self.panic()

    def dead(self) -> str:
        """What has died or stopped, so that libvirt cannot answer for this domain."""
        ailment = self.daemon.ailment()
        if ailment or not self._is_on:
            return ailment
        ailment = ailments.of_qemu(self.daemon.sandbox, self.first_qemu_pid, self._ends)
        return f"{ailment}, since it hung: {self.hung_in}" if ailment and self.hung_in else ailment

    def panic(self) -> str:
        """What the guest's kernel said when it panicked, if it did."""
        return ailments.panic(self.console)

    # how it is done

    def _before_start(self) -> int:
        """What has ended so far is not its QEMU; returns the end of the events so far."""
        self._ends = len(self.daemon.sandbox.ends())
        return self.daemon.events.mark()

    def _create(self, flags: int = 0) -> int:
        """Start its QEMU; returns the end of the events before that."""
        self.await_shut_off()
        since = self._before_start()
        try:
            self.call("the start", lambda handle: handle.createWithFlags(flags) if flags else handle.create())
        except libvirt.libvirtError as error:
            words = f"{self._log_ends()}\nlibvirtd's log ends:\n{self.daemon.log_tail(12)}"
            raise DomainFailed(f"{self.name} did not start: {error}\n{words}") from error
        self._is_up(since)
        return since

    def _is_up(self, since: int) -> None:
        self.first_qemu_pid, self._is_on, self._since = self.qemu_pid, True, since
        self._owed = None
        self.hung_in = ""

    def _pause(self) -> str:
        return ailments.pause(self._told(), self.name)

    def _ailment_of_port(self) -> str:
        ailment = self.ailment()
        closed = "" if ailment else ailments.closed_port(self._told(), self.name, DISK_PORT)
        return f"{closed}\n{self._console_ends()}" if closed else ailment

    def _log_ends(self) -> str:
        return f"QEMU's log ends:\n{self.qemu_log_tail()}"

    def _console_ends(self) -> str:
        return f"the guest's console ends:\n{self.console_tail()}"

    def _told(self) -> Sequence[Event]:
        """The events since it was started, which are none as long as no daemon runs."""
        try:
            return self.daemon.events.events[self._since :]
        except ValueError:
            return ()

    def _guarded(self, what: str, call: Callable[[], T]) -> T:
        name = f"{what} of {self.name}"
        breaks = (partial(self._break_off, name), partial(self.daemon.end_hard, name))
        with watchdog(name, self.call_timeout, *breaks, look=self.dead):
            return call()

    def _break_off(self, what: str) -> None:
        """Collect what is gone afterwards, and kill QEMU; or libvirtd, if that has stopped or waits for no QEMU."""
        self._note(f"{what} hangs: it is broken off. What runs then:\n{self.daemon.sandbox.processes()}")
        try:
            qemu = None if self.daemon.ailment() else self.qemu_pid
        except (OSError, ValueError):  # it has not started yet
            qemu = None
        if qemu is None:
            self.daemon.end_hard(what)
        else:
            self.hung_in = what
            self.daemon.sandbox.signal(qemu, "KILL")

    def _await_exit(self, pid: int) -> None:
        watch = f"while {BUSYBOX} kill -0 {pid} 2>/dev/null; do {BUSYBOX} usleep 1000; done"
        self.daemon.sandbox.run([BUSYBOX, "sh", "-c", watch], timeout=CALL_TIMEOUT).check()

    def _let_go_of_guest(self, *, for_good: bool = False) -> None:
        port, self._port = self._port, None
        self._is_on = self._is_on and not for_good
        if port is not None:
            port.close()


def _tail(file: Path, lines: int) -> str:
    try:
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:]) or f"({file.name} is empty)"
    except OSError as error:
        return f"({file.name}: {error.strerror})"
