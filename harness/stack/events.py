"""libvirt's event loop, and one ordered list of events over all connections to a daemon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import libvirt
import libvirt_qemu

from harness.errors import Ailing, WaitTimeout
from harness.waiting import LOOK_SECONDS, now, scaled, well


class EventKind(StrEnum):
    """The events that the hub listens to, by libvirt's names."""

    LIFECYCLE = "lifecycle"
    BLOCK_JOB = "block-job"
    BLOCK_JOB_2 = "block-job-2"
    AGENT_LIFECYCLE = "agent-lifecycle"
    IO_ERROR = "io-error-reason"
    THRESHOLD = "block-threshold"
    DEVICE_REMOVED = "device-removed"
    CLOSED = "connection-closed"
    QEMU = "qemu-monitor"


@dataclass(frozen=True)
class Event:
    """One event: `subject` is the disk's target or path where there is one; `status` and `reason` are in words."""

    at: float
    kind: EventKind
    domain: str
    subject: str = ""
    status: str = ""
    reason: str = ""

    def __str__(self) -> str:
        words = (self.kind.value, self.domain, self.subject, self.status, self.reason)
        return " ".join(word for word in words if word)


JOB_TYPES = {1: "pull", 2: "copy", 3: "commit", 4: "active-commit", 5: "backup"}
JOB_STATUS = {0: "completed", 1: "failed", 2: "canceled", 3: "ready"}
_LIFECYCLE = {
    0: "defined",
    1: "undefined",
    2: "started",
    3: "suspended",
    4: "resumed",
    5: "stopped",
    6: "shutdown",
    7: "pm-suspended",
    8: "crashed",
}
_AGENT = {1: "connected", 2: "disconnected"}

_OF_QEMU = ("BLOCK_JOB_COMPLETED", "BLOCK_JOB_ERROR", "BLOCK_IO_ERROR", "GUEST_PANICKED", "VSERPORT_CHANGE")

_loop: threading.Thread | None = None


def start_event_loop() -> None:
    """Register libvirt's default event loop and run it in a thread; must come before the first connection."""
    global _loop
    if _loop is not None:
        return
    libvirt.registerErrorHandler(lambda *_: None, None)  # errors are raised; do not print them besides
    libvirt.virEventRegisterDefaultImpl()

    def forever() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    _loop = threading.Thread(target=forever, name="libvirt-events", daemon=True)
    _loop.start()


class EventHub:
    """All events of a connection, in the order in which they came.

    Pass the `former` hub after a daemon restart: its events are kept and new ones are appended. `ailment` says what is
    wrong with the daemon, or nothing.
    """

    def __init__(
        self, connection: libvirt.virConnect, former: EventHub | None = None, ailment: Callable[[], str] = well
    ) -> None:
        self._ailment = ailment
        self.events: list[Event] = former.events if former else []
        self.listeners: list[Callable[[Event], None]] = former.listeners if former else []
        self._condition = threading.Condition()
        self._ids: list[int] = []
        self._of_qemu: int | None = None
        self._connection = connection
        register = connection.domainEventRegisterAny
        self._ids.append(register(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle, None))
        self._ids.append(register(None, libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB, self._block_job, EventKind.BLOCK_JOB))
        self._ids.append(
            register(None, libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, self._block_job, EventKind.BLOCK_JOB_2)
        )
        self._ids.append(register(None, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, self._agent, None))
        self._ids.append(register(None, libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, self._io_error, None))
        self._ids.append(register(None, libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD, self._threshold, None))
        self._ids.append(register(None, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, self._removed, None))
        connection.registerCloseCallback(self._closed, None)

    def listen_to_qemu(self) -> None:
        """Have QEMU's own words, which libvirt keeps to itself: why a job failed, why the guest has stopped."""
        events, regex = "|".join(_OF_QEMU), libvirt_qemu.VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX
        register = libvirt_qemu.qemuMonitorEventRegister
        self._of_qemu = register(self._connection, None, events, self._from_qemu, None, regex)

    def mark(self) -> int:
        """The present end of the list. Take it before the call whose events are waited for: they can come first."""
        return len(self.events)

    def wait(
        self,
        what: str,
        wanted: Callable[[Event], bool],
        *,
        since: int,
        timeout: float,
        ailment: Callable[[], str] | None = None,
    ) -> Event:
        """The first event after `since` that is wanted.

        Raises WaitTimeout with what came instead; Ailing as soon as the connection is closed, or `ailment` (the
        daemon's, if none is passed) says that something is wrong.
        """
        seconds = scaled(timeout)
        deadline = now() + seconds
        while True:
            with self._condition:
                seen = self.events[since:]
                if not any(map(wanted, seen)) and not self._is_closed(seen):
                    self._condition.wait(min(LOOK_SECONDS, max(0.0, deadline - now())))
                    seen = self.events[since:]
            for event in seen:
                if wanted(event):
                    return event
            wrong = (ailment or self._ailment)()
            if not wrong and self._is_closed(seen):
                wrong = "libvirtd has closed the connection"
            if wrong:
                raise Ailing(what, f"{wrong}; so far: {_told(seen)}")
            if now() >= deadline:
                raise WaitTimeout(what, seconds, _told(seen))

    def close(self) -> None:
        """Deregister everything, so that the connection can be closed."""
        self._connection.unregisterCloseCallback()
        for callback in self._ids:
            self._connection.domainEventDeregisterAny(callback)
        self._ids.clear()
        if self._of_qemu is not None:
            libvirt_qemu.qemuMonitorEventDeregister(self._connection, self._of_qemu)

    def _is_closed(self, seen: Sequence[Event]) -> bool:
        return any(event.kind is EventKind.CLOSED for event in seen) and not self._connection.isAlive()

    def _add(self, event: Event) -> None:
        with self._condition:
            self.events.append(event)
            self._condition.notify_all()
        for listener in self.listeners:
            listener(event)

    def _lifecycle(self, _c: object, domain: libvirt.virDomain, event: int, detail: int, _o: object) -> None:
        status = _LIFECYCLE.get(event, str(event))
        self._add(Event(now(), EventKind.LIFECYCLE, domain.name(), "", status, f"detail {detail}"))

    def _block_job(
        self, _c: object, domain: libvirt.virDomain, disk: str, kind: int, status: int, which: EventKind
    ) -> None:
        job, state = JOB_TYPES.get(kind, str(kind)), JOB_STATUS.get(status, str(status))
        self._add(Event(now(), which, domain.name(), disk, state, job))

    def _agent(self, _c: object, domain: libvirt.virDomain, state: int, reason: int, _o: object) -> None:
        self._add(
            Event(
                now(), EventKind.AGENT_LIFECYCLE, domain.name(), "", _AGENT.get(state, str(state)), f"reason {reason}"
            )
        )

    def _io_error(
        self, _c: object, domain: libvirt.virDomain, path: str, alias: str, action: int, reason: str, _o: object
    ) -> None:
        self._add(Event(now(), EventKind.IO_ERROR, domain.name(), f"{alias} {path}", f"action {action}", reason))

    def _threshold(
        self, _c: object, domain: libvirt.virDomain, disk: str, _path: str, threshold: int, excess: int, _o: object
    ) -> None:
        self._add(Event(now(), EventKind.THRESHOLD, domain.name(), disk, f"over {threshold}", f"by {excess} bytes"))

    def _removed(self, _c: object, domain: libvirt.virDomain, alias: str, _o: object) -> None:
        self._add(Event(now(), EventKind.DEVICE_REMOVED, domain.name(), alias))

    def _from_qemu(
        self, _c: object, domain: libvirt.virDomain, event: str, _s: int, _us: int, details: str, _o: object
    ) -> None:
        self._add(Event(now(), EventKind.QEMU, domain.name(), "", event, details or ""))

    def _closed(self, _c: object, reason: int, _o: object) -> None:
        self._add(Event(now(), EventKind.CLOSED, "", "", "", f"reason {reason}"))


def _told(events: Sequence[Event]) -> str:
    return "; ".join(map(str, events)) or "no event"
