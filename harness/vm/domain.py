"""A throwaway VM: defined, started, reached, shut off and gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self, TypeVar

import libvirt
import libvirt_qemu

from harness.errors import ChainproofError, WaitTimeout
from harness.journal import Journal, Kind
from harness.oracle.content import Content
from harness.stack.daemon import Daemon
from harness.stack.events import Event, EventKind
from harness.stack.sandbox import BUSYBOX, IMAGES
from harness.vm.agent import Agent
from harness.vm.disk import Disk
from harness.vm.disk_port import DiskPort
from harness.vm.domain_xml import Machine, domain_xml
from harness.vm.guest import Guest
from harness.waiting import watchdog

T = TypeVar("T")

CALL_TIMEOUT = 120.0
BOOT_TIMEOUT = 60.0
NAME = "vm1"
# of snapshots and checkpoints that a scenario broke off in: else the definition would be in the way of all that follow
_WITH_METADATA = libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA


class DomainFailed(ChainproofError):
    """The VM did not start, or its guest was never reached; carries its last words."""


class Domain:
    """One VM of `daemon`, whose disk vda begins as the image `base` with the oracle's `content`.

    As a context it is gone at the end: destroyed, and its definition with it. Its images are its owner's.
    """

    def __init__(self, daemon: Daemon, machine: Machine, content: Content, run: str, journal: Journal) -> None:
        self.daemon = daemon
        self.machine = machine
        self.journal = journal
        self.name = NAME
        self.call_timeout = CALL_TIMEOUT
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="shut-off")
        self._shut_off: Future[int] | None = None
        self._shut_off_since = 0
        self.disk = Disk(self, "vda", content, run)
        self.first_qemu_pid = 0
        self._is_on = False
        self._guest: Guest | None = None
        self._handle: libvirt.virDomain | None = None

    @property
    def handle(self) -> libvirt.virDomain:
        """libvirt's object. Raises ValueError unless the domain is defined."""
        self._await_shut_off()
        if self._handle is None:
            raise ValueError(f"domain {self.name} is not defined")
        return self._handle

    @property
    def guest(self) -> Guest:
        """The guest; raises ValueError unless it was reached (start)."""
        if self._guest is None:
            raise ValueError(f"the guest of {self.name} has not been reached")
        return self._guest

    @property
    def console(self) -> Path:
        """What the guest printed on its serial console."""
        return self.daemon.sandbox.outside(IMAGES.parent / f"{self.name}.console")

    def __enter__(self) -> Self:
        source = self.disk.path(self.disk.content.chain()[-1])
        xml = domain_xml(self.name, self.machine, source, IMAGES.parent)
        self._handle = self.daemon.connection.defineXML(xml)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._leave_guest()
            if self._handle is not None:  # else a daemon has lost it
                self.stop_hard()
                self.handle.undefineFlags(_WITH_METADATA)
        finally:
            self._aside.shutdown()
        self._handle = None

    def start(self, timeout: float = BOOT_TIMEOUT) -> Guest:
        """Boot it and reach its guest. Raises DomainFailed with QEMU's or the guest's last words."""
        self._await_shut_off()
        self.journal.record(Kind.ACT, f"virDomainCreate: {self.name}")
        since = self.daemon.events.mark()
        with self.journal.timed("boot"):
            try:
                self.guarded("the start", self.handle.create)
            except libvirt.libvirtError as error:
                words = f"QEMU's log ends:\n{self.qemu_log_tail()}"
                raise DomainFailed(f"{self.name} did not start: {error}\n{words}") from error
            self.first_qemu_pid, self._is_on = self.qemu_pid, True
            return self.reach(since, timeout)

    def restore(self, saved: PurePosixPath, xml: str | None) -> Guest:
        """Start it from a saved guest (virDomainRestoreFlags), with `xml` in place of the saved one if it is given.

        The guest's clock is set and its random numbers are stirred: it woke up where many others did.
        """
        self._await_shut_off()
        self.journal.record(Kind.ACT, f"virDomainRestoreFlags: {self.name}")
        since = self.daemon.events.mark()
        connection = self.daemon.connection
        self.guarded("the restore", lambda: connection.restoreFlags(str(saved), xml, libvirt.VIR_DOMAIN_SAVE_RUNNING))
        self.first_qemu_pid, self._is_on = self.qemu_pid, True
        return self.reach(since, restored=True)

    def save(self, file: PurePosixPath) -> None:
        """Save the running guest into a file and end it (virDomainSave)."""
        self._leave_guest(for_good=True)
        since = self.daemon.events.mark()
        self.guarded("the save", lambda: self.handle.save(str(file)))
        self._await_end_told(since)

    def take_up(self, handle: libvirt.virDomain | None) -> None:
        """Go on with libvirt's object from a daemon that was started anew; None while there is no daemon."""
        self._handle = handle

    def stop_hard(self) -> None:
        """End QEMU if it runs, at once and without flushing anything."""
        self._leave_guest(for_good=True)
        since = self.daemon.events.mark()
        if self.is_running():
            try:
                self.guarded("destroy", self.handle.destroy)
            except libvirt.libvirtError as error:  # a QEMU that was killed may end just then
                if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID or self.is_running():
                    raise
            self._await_end_told(since)

    def reach(self, since: int, timeout: float = BOOT_TIMEOUT, *, restored: bool = False) -> Guest:
        """Wait until the guest agent has connected, by an event later than `since`: the guest of this boot."""
        self.wait_agent(since, timeout)
        self._leave_guest()
        port = DiskPort(self.daemon.sandbox.outside(IMAGES.parent / f"{self.name}.disk"))
        self._guest = Guest(self, Agent(lambda: self.handle, self.guarded), port, restored=restored)
        self.journal.record(Kind.GUEST, "is ready: its agent has connected")
        return self._guest

    def wait_agent(self, since: int, timeout: float = BOOT_TIMEOUT) -> None:
        """Wait until the guest agent has connected; raises DomainFailed with the last words if it does not."""

        def connected_or_dead(event: Event) -> bool:
            return event.domain == self.name and (
                (event.kind is EventKind.AGENT_LIFECYCLE and event.status == "connected")
                or (event.kind is EventKind.LIFECYCLE and event.status in ("stopped", "crashed"))
            )

        what = "the guest agent to connect"
        try:
            event = self.daemon.events.wait(what, connected_or_dead, since=since, timeout=timeout)
        except WaitTimeout as error:
            raise DomainFailed(f"{error}\nthe guest's console ends:\n{self.console_tail()}") from error
        if event.status != "connected":
            words = f"QEMU's log ends:\n{self.qemu_log_tail()}\nthe guest's console ends:\n{self.console_tail()}"
            raise DomainFailed(f"QEMU ended before its guest was ready: {event}\n{words}")

    def grow(self, layers: Sequence[tuple[str, str, Sequence[int]]]) -> None:
        """Live: make (image, label, cells) layers, writing each layer's marker while it is the active one."""
        for name, label, cells in layers:
            if name not in self.disk.content.files():
                self.disk.snapshot(name)
            self.guest.write_marker(label, cells)

    def shut_off(self) -> None:
        """End QEMU politely (it flushes and closes its images); the definition stays."""
        self.journal.record(Kind.ACT, f"virDomainDestroyFlags: {self.name}, graceful")
        self._leave_guest(for_good=True)
        handle, pid = self.handle, self.qemu_pid
        self._shut_off_since = self.daemon.events.mark()
        self._shut_off = self._aside.submit(handle.destroyFlags, libvirt.VIR_DOMAIN_DESTROY_GRACEFUL)
        # libvirt looks after 0.2 s whether QEMU is gone, which takes a tenth of that: what comes next need not wait
        watch = f"while {BUSYBOX} kill -0 {pid} 2>/dev/null; do {BUSYBOX} usleep 1000; done"
        self.daemon.sandbox.run([BUSYBOX, "sh", "-c", watch], timeout=CALL_TIMEOUT).check()

    def _await_shut_off(self) -> None:
        """Wait until libvirt, too, knows that the domain is shut off; raises what it raised."""
        pending, self._shut_off = self._shut_off, None
        if pending is not None:
            with watchdog(f"the shut-off of {self.name}", self.call_timeout, self._kill_qemu):
                pending.result()
            self._await_end_told(self._shut_off_since)

    def _await_end_told(self, since: int) -> None:
        """Wait for the event of the end, which may come after the call: it must not be taken for a later one."""
        self.daemon.events.wait(
            f"the end of {self.name} to be told",
            lambda event: event.domain == self.name and event.status == "stopped",
            since=since,
            timeout=10,
        )

    def _leave_guest(self, *, for_good: bool = False) -> None:
        guest, self._guest = self._guest, None
        self._is_on = self._is_on and not for_good
        if guest is not None:
            guest.close()

    def is_running(self) -> bool:
        """True unless the domain is shut off or has crashed."""
        return self._shut_off is None and bool(self.handle.isActive())

    def has_ended_by_itself(self) -> bool:
        """True if it was started, and is off though nobody has shut it off."""
        return self._is_on and not self.is_running()

    def xml(self, *, inactive: bool = False) -> str:
        """The domain XML: as it runs, or as it will start next time."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE if inactive else 0
        return str(self.guarded("dumpxml", lambda: self.handle.XMLDesc(flags)))

    def monitor(self, command: str) -> str:
        """QEMU's answer (JSON text) to a QMP command without arguments; taints the domain, so for checks only."""
        text = f'{{"execute": "{command}"}}'
        return str(self.guarded(command, lambda: libvirt_qemu.qemuMonitorCommand(self.handle, text, 0)))

    @property
    def qemu_pid(self) -> int:
        """QEMU's pid inside the sandbox."""
        directory = "run/qemu" if self.daemon.mode == "system" else "run/qemu/run"
        return int((self.daemon.directory / "var" / directory / f"{self.name}.pid").read_text())

    def guarded(self, what: str, call: Callable[[], T]) -> T:
        """Make a call of libvirt's; if it hangs, QEMU is killed so that the call returns, and WaitTimeout is raised."""
        with watchdog(f"{what} of {self.name}", self.call_timeout, self._kill_qemu):
            return call()

    def _kill_qemu(self) -> None:
        self.journal.record(Kind.NOTE, "a call hangs: QEMU is killed")
        self.daemon.sandbox.signal(self.qemu_pid, "KILL")

    def qemu_log_tail(self, lines: int = 12) -> str:
        """The last lines of QEMU's log."""
        return _tail(self.daemon.qemu_log(self.name), lines)

    def console_tail(self, lines: int = 20) -> str:
        """The last lines of the guest's console."""
        return _tail(self.console, lines)


def _tail(file: Path, lines: int) -> str:
    try:
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:]) or f"({file.name} is empty)"
    except OSError as error:
        return f"({file.name}: {error.strerror})"
