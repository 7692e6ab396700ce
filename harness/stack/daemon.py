"""A private libvirt daemon: start, stop, kill, restart under a running VM."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self, TypeVar

import libvirt

from harness.crash.recording import Places
from harness.errors import CheckFailed, Unusable, WaitTimeout, how_ended
from harness.process import STDOUT, Child, Completed, has_stopped, wait
from harness.settings import Mode
from harness.stack.answering import require_libvirt
from harness.stack.configuration import LIBVIRTD_CONF, SESSION_UID, SOCKETS, lay_out, uri_of
from harness.stack.events import EventHub, start_event_loop
from harness.stack.joined import JoinedSandbox
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import IMAGES, Sandbox
from harness.stack.stack import Stack
from harness.stack.storage_daemon import StorageDaemon
from harness.stack.view import Preload
from harness.storage.tool import secret_options
from harness.waiting import NotYet, wait_until, watchdog

T = TypeVar("T")

CALL_TIMEOUT = 120.0
GUEST = PurePosixPath("/guest")
WARM = PurePosixPath("/warm")
RECORD = PurePosixPath("/chainproof/record")
"""Where what is preloaded may write; it is there if anything is."""
_PIDFILE = "libvirtd.pid"

# what libvirtd logs as errors in any sandbox (no cgroups, no host network devices, no DMI, no KVM), and, now and then,
# when a VM ends: its sockets end a moment before libvirt hears of it
_NO_FINDING = (
    "virCgroupDetectControllers",
    "virNetDevSendEthtoolIoctl",
    "virSysinfo",
    "/dev/mem",
    "/dev/kvm",
    "End of file from agent socket",
    "End of file from qemu monitor",
)


@dataclass(frozen=True)
class Setup:
    """How a daemon is set up.

    `guest` (the built guest's directory) is shown read-only as /guest, `warm` (saved guests) as /warm. `stock` leaves
    out what makes VMs start faster than with libvirt's own configuration: to measure against. `preloads` are loaded
    into libvirtd and QEMU. `recorder` is one that is loaded into everything, and logs what is done to files.
    `monitored`: libvirtd logs what it says to QEMU.
    """

    mode: Mode
    kvm: bool
    guest: Path
    warm: Path
    stock: bool = False
    preloads: tuple[Preload, ...] = ()
    recorder: Path | None = None
    monitored: bool = False


class Daemon:
    """One libvirtd of `stack` in a sandbox around a run directory, and a connection to it.

    The images of a scenario lie in /export/images.
    """

    def __init__(self, stack: Stack, run_directory: RunDirectory, setup: Setup) -> None:
        self.stack = stack
        self.mode = setup.mode
        self.directory = directory = run_directory.path
        self.kvm = setup.kvm
        self._laid_out = partial(lay_out, stock=setup.stock, monitored=setup.monitored)
        self._hung_in = ""
        self.guest = setup.guest
        self._process: Child | None = None
        self._connection: libvirt.virConnect | None = None
        self._events: EventHub | None = None
        self._former: EventHub | None = None
        etc, var = directory / "etc", directory / "var"
        binds = (
            (setup.guest, GUEST, False),
            (setup.warm, WARM, False),
            (directory / "export", IMAGES.parent, True),
            (directory / "sock", SOCKETS, True),
            (etc, PurePosixPath("/etc/libvirt"), True),
            *((etc / name, PurePosixPath("/etc") / name, False) for name in ("passwd", "group", "nsswitch.conf")),
            (var / "run", PurePosixPath("/run/libvirt"), True),
            (var / "lib", PurePosixPath("/var/lib/libvirt"), True),
            (var / "log", PurePosixPath("/var/log/libvirt"), True),
            (var / "cache", PurePosixPath("/var/cache/libvirt"), True),
        )
        # in session mode libvirt looks below these for what it has in /etc, /run and /var/cache in system mode
        session = {
            "XDG_CONFIG_HOME": "/etc",
            "XDG_RUNTIME_DIR": "/run",
            "XDG_CACHE_HOME": "/var/cache",
            "XDG_DATA_HOME": "/var/lib",
        }
        environment = {"LIBVIRT_DEFAULT_URI": uri_of(self.mode, SOCKETS), **(session if self.mode == "session" else {})}
        uid = SESSION_UID if self.mode == "session" else None
        isolation = replace(stack.isolation(), uid=uid, kvm=self.kvm, binds=binds, environment=environment)
        recorder = () if setup.recorder is None else (Preload(setup.recorder, everywhere=True),)
        preloads = (*setup.preloads, *recorder)
        self.recorded = Places(self.record / "log", directory / "export/images", etc / "qemu") if recorder else None
        """Where what the recorder logs is, and what it is about; None without one."""
        if preloads:
            isolation = replace(isolation, preloads=preloads, binds=(*binds, (self.record, RECORD, True)))
        self.sandbox = Sandbox(run_directory, isolation)
        self.storage = StorageDaemon(self.sandbox, options=secret_options())
        self._place = self.sandbox  # where libvirtd and virsh run

    @property
    def uri(self) -> str:
        """Where the daemon listens, for clients outside the sandbox."""
        return uri_of(self.mode, self.directory / "sock")

    @property
    def record(self) -> Path:
        """What is RECORD inside."""
        return self.directory / "record"

    @property
    def log(self) -> Path:
        """The daemon's log: warnings and errors."""
        return self.directory / "var/log/libvirtd.log"

    @property
    def _output(self) -> Path:
        """What it writes to stdout and stderr; not seen inside, where a link could stand in for it."""
        return self.directory / "libvirtd.out"

    def qemu_log(self, domain: str) -> Path:
        """The log of a domain's QEMU: its command line and its stderr."""
        if self.mode == "system":
            return self.directory / f"var/log/qemu/{domain}.log"
        return self.directory / f"var/cache/qemu/log/{domain}.log"

    def call(self, what: str, function: Callable[[libvirt.virConnect], T]) -> T:
        """Call libvirt on the connection; if that hangs, libvirtd is killed so that it returns: see watchdog.

        Raises ValueError while the daemon is stopped.
        """
        connection = self.connection
        with watchdog(what, CALL_TIMEOUT, partial(self.end_hard, what), look=self.ailment):
            return function(connection)

    @property
    def connection(self) -> libvirt.virConnect:
        """The open connection; raises ValueError while the daemon is stopped."""
        if self._connection is None:
            raise ValueError("the daemon is not running")
        return self._connection

    @property
    def events(self) -> EventHub:
        """The events of the present connection."""
        if self._events is None:
            raise ValueError("the daemon is not running")
        return self._events

    def __enter__(self) -> Self:
        try:
            self._laid_out(self.directory, self.mode)
            self.sandbox.__enter__()
            self.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        try:
            what = "the end of the connection"
            if self.ailment():
                self.end_hard(what)
            with watchdog(what, 20, partial(self.end_hard, what)):
                self._disconnect()
        finally:
            self.storage.close()
            self.sandbox.close()
            self._place.close()
            if self._process is not None:
                self._reap(self._process)

    def start(self) -> None:
        """Start the daemon and connect. Raises Unusable with the tail of its log if it does not come up."""
        start_event_loop()
        (self.directory / "sock/libvirt-sock").unlink(missing_ok=True)
        with self._output.open("ab") as out:
            command = [self.stack.libvirtd, "-f", str(LIBVIRTD_CONF), "-p", f"/run/libvirt/{_PIDFILE}"]
            self._process = self._place.spawn(command, stdout=out, stderr=STDOUT, is_daemon=True)
        # ready is an open connection: the socket accepts before the drivers are up, which can still fail
        try:
            with watchdog("libvirtd to answer", 40, partial(self.end_hard, "its start"), look=self.ailment):
                self._connection = wait_until("libvirtd to answer", self._open, timeout=30)
        except WaitTimeout as error:
            raise Unusable(
                f"libvirtd of {self.stack.name} does not answer", "see its last words", str(error)
            ) from error
        require_libvirt(self.stack, self._connection.getLibVersion(), self.sandbox, self.pid)
        self._connection.setKeepAlive(5, 12)
        self._events = EventHub(self._connection, self._former, self.ailment)
        self._events.listen_to_qemu()

    def start_upgraded(self, stack: Stack) -> None:
        """Start the stopped daemon from `stack` on the state that it left; so is virsh. All else stays what it is."""
        if stack is not self.stack:
            isolation = replace(self.sandbox.isolation, tree=stack.tree, programs=stack.replaced)
            self._place = JoinedSandbox(self.sandbox, isolation)
            self._place.__enter__()
            self.stack = stack
        self.start()

    def stop(self) -> None:
        """End the daemon with SIGTERM; VMs go on running."""
        self._signal("TERM")

    def kill(self) -> None:
        """End the daemon with SIGKILL; VMs go on running."""
        self._signal("KILL")

    def end_hard(self, why: str) -> None:
        """End libvirtd at once because it hangs in `why`: every call of it returns then. From any thread."""
        self._hung_in = self._hung_in or why
        with suppress(OSError, ValueError):
            self.sandbox.signal(self.pid, "KILL")

    def ailment(self) -> str:
        """What is wrong with libvirtd or what it lives in, in words, or nothing. Looks at processes, asks nobody."""
        status = self._process.poll() if self._process is not None else None
        if status is not None:
            hung = f", since it hung: {self._hung_in}" if self._hung_in else ""
            words = f"libvirtd {how_ended(status)}{hung}"
        else:
            words = "libvirtd has stopped" if self._has_stopped() else ""
        return self.sandbox.ailment() or words

    def is_cut_off(self) -> bool:
        """Whether its connection has been closed, and not by us."""
        return self._connection is not None and not self._connection.isAlive()

    def _has_stopped(self) -> bool:
        try:
            return self._process is not None and has_stopped(self.sandbox.process(self.pid))
        except (OSError, ValueError):  # it has not written its pid yet
            return False

    def virsh(self, *arguments: str, timeout: float = 120) -> Completed:
        """Run the stack's own virsh inside the sandbox; its exit status is not checked."""
        return self._place.run([self.stack.virsh, *arguments], timeout=timeout)

    @property
    def pid(self) -> int:
        """The daemon's pid inside the sandbox."""
        return int((self.directory / "var/run" / _PIDFILE).read_text())

    def _signal(self, signal: str) -> None:
        process = self._process
        if process is None:
            raise ValueError("the daemon is not running")
        pid = self.pid
        self._disconnect()
        self.sandbox.signal(pid, signal)
        wait(process, "libvirtd to end", timeout=30)
        self._reap(process)
        self._process = None

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        events, self._events = self._events, None
        self._former = events or self._former
        if events is not None and connection is not None and connection.isAlive():
            try:
                events.close()
            except libvirt.libvirtError:
                if connection.isAlive():
                    raise
        if connection is not None:
            connection.close()

    def _reap(self, process: Child) -> None:
        process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def _open(self) -> libvirt.virConnect:
        assert self._process is not None
        try:
            connection = libvirt.open(self.uri)
            connection.listAllDomains()
        except libvirt.libvirtError as error:
            status = self._process.poll()
            if status is not None and status < 0:  # it is the release's to be judged, unless it cannot run at all
                raise CheckFailed(
                    f"libvirtd of {self.stack.name} starts", f"it {how_ended(status)}", self.log_tail()
                ) from error
            if status is not None:
                raise Unusable(
                    f"libvirtd of {self.stack.name} {how_ended(status)} at its start",
                    "see its last words",
                    self.log_tail(),
                ) from error
            raise NotYet(f"{error} | log: {self.log_tail(3)}") from error
        return connection

    def errors_logged(self, since: int) -> list[str]:
        """The error lines of the log after byte `since`, without those that are no finding."""
        with self.log.open(errors="replace") as log:
            log.seek(since)
            errors = [line.strip() for line in log if " error : " in line]
        return [line for line in errors if not any(noise in line for noise in _NO_FINDING)]

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of what the daemon wrote."""
        texts = []
        for file in (self._output, self.log):
            if file.exists():
                texts += file.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(texts)
