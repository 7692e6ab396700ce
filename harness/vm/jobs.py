"""Block jobs as libvirt tells of them: waits by its events, or by the disk's state after a restart of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.errors import ChainproofError, WaitTimeout
from harness.stack.events import Event, EventKind
from harness.vm.domain import Domain
from harness.vm.domain_view import disk_element
from harness.waiting import NotYet, now, require_well, scaled, wait_until, well

TIMEOUT = 120.0
LATE = 5.0
"""Seconds after which an event is missed that is about something that libvirt knows already."""
_ENDS = ("failed", "canceled", "completed")


class BlockJobFailed(ChainproofError):
    """A job ended otherwise than it was to."""


class Jobs:
    """The jobs of all disks of a daemon's domains; `timeout` is in seconds, for every wait.

    `ailment` says what is wrong with that which was to begin them, or nothing.
    """

    def __init__(self) -> None:
        self.timeout = TIMEOUT
        self.ailment: Callable[[], str] = well
        self._began: dict[tuple[str, str], tuple[int, object]] = {}

    def expect(self, domain: Domain, target: str) -> None:
        """A job of this disk is about to begin: all that libvirt tells of it comes later than now."""
        self._began[domain.name, target] = (domain.daemon.events.mark(), domain.daemon.events)

    def await_status(self, domain: Domain, target: str, status: str) -> None:
        """Wait until the disk's job is "ready", or "completed". Raises BlockJobFailed if it ends otherwise."""
        since, told_by = self._began[domain.name, target]
        if told_by is domain.daemon.events:
            self.await_event(domain, target, status, since)
        elif status == "ready":
            self._await_known_ready(domain, target)
        else:
            self._await_known_gone(domain, target, since)

    def await_begun(self, domain: Domain, target: str) -> None:
        """Wait until libvirt knows of a job of the disk; one that ends by itself might be gone before it is seen."""

        def begun() -> None:
            require_well(f"a job of {target} to begin", self.ailment)
            if mirror_state(domain, target) == "no job":
                raise NotYet("libvirt knows of no job")

        wait_until(f"a job of {target} to begin", begun, self.timeout, interval=0.01)

    def await_under_way(self, domain: Domain, target: str) -> None:
        """Wait until a part is copied of what the disk's job, or the VM's backup if there is no target, has to copy.

        Raises BlockJobFailed if there is no such job, any more or at all.
        """
        whose = target or domain.name

        def under_way() -> None:
            done, total = _progress(domain, target)
            if not total:
                raise BlockJobFailed(f"there is no job of {whose} that could be under way")
            if not 0 < done < total:
                raise NotYet(f"{done} of {total} bytes")

        wait_until(f"the job of {whose} to be under way", under_way, self.timeout, interval=0.005)

    def await_event(self, domain: Domain, target: str, status: str, since: int) -> None:
        """Wait for the event, later than `since`, that the job is `status`. Raises BlockJobFailed if it ends else."""

        def wanted(event: Event) -> bool:
            if event.domain != domain.name:
                return False
            mine = event.kind is EventKind.BLOCK_JOB_2 and event.subject == target
            return (mine and event.status in (status, *_ENDS)) or event.status == "stopped"

        event = self._told(domain, target, status, wanted, since)
        if event.status == "stopped":  # a job ends with its VM, and nobody tells of that
            raise BlockJobFailed(f"the job of {target}: waited for {status}, but {domain.name} has ended: {event}")
        if event.status != status:
            why = "".join(f"\nQEMU: {reason}" for reason in _reasons(domain.daemon.events.events[since:], domain.name))
            if event.status == "failed":
                why += f"\nQEMU's log ends:\n{domain.qemu_log_tail()}"
            raise BlockJobFailed(f"the {event.reason} of {target}: waited for {status}, but it {event.status}{why}")

    def _told(self, domain: Domain, target: str, status: str, wanted: Callable[[Event], bool], since: int) -> Event:
        """The event; raises BlockJobFailed soon if it does not come though libvirt knows what it is about."""

        def ailment() -> str:
            return domain.dead() or self.ailment()

        what = f"the job of {target} to be {status}"
        deadline = now() + scaled(self.timeout)
        is_known = False
        while True:
            try:
                seconds = min(LATE, self.timeout)
                return domain.daemon.events.wait(what, wanted, since=since, timeout=seconds, ailment=ailment)
            except WaitTimeout as error:
                if is_known:
                    claim = f"libvirt sends no event that {what.replace(' to be ', ' is ')}"
                    seen = f"came since the job began: {error.last_seen}"
                    raise BlockJobFailed(f"{claim}, though by its own state it has been for a while; {seen}") from error
                if now() >= deadline:
                    raise WaitTimeout(what, scaled(self.timeout), error.last_seen) from error
            state = mirror_state(domain, target)
            is_known = state == "ready" if status == "ready" else state == "no job"

    def _await_known_ready(self, domain: Domain, target: str) -> None:
        """Wait until a daemon that was started anew knows that the job is ready: no event tells it twice.

        libvirt 7 and 9 know the mirror at once and that it is ready a moment later.
        """

        def ready() -> None:
            state = mirror_state(domain, target)
            if state != "ready":
                raise NotYet(f"its mirror is: {state}")

        wait_until(f"the job of {target} to be known as ready", ready, self.timeout, interval=0.01)

    def _await_known_gone(self, domain: Domain, target: str, since: int) -> None:
        """Wait until a daemon that was started anew knows of no job any more."""

        def gone() -> None:
            if domain.call("blockJobInfo", lambda handle: handle.blockJobInfo(target)):
                raise NotYet("libvirt knows of a job")

        wait_until(f"the job of {target} to be known as gone", gone, self.timeout, interval=0.01)
        for event in domain.daemon.events.events[since:]:
            mine = event.kind is EventKind.BLOCK_JOB_2 and (event.domain, event.subject) == (domain.name, target)
            if mine and event.status in ("failed", "canceled"):
                raise BlockJobFailed(f"the {event.reason} of {target}: waited for its end, but it {event.status}")


def _progress(domain: Domain, target: str) -> tuple[int, int]:
    """How many bytes are copied, and of how many; 0 and 0 if there is no job."""
    if target:
        info = domain.call("blockJobInfo", lambda handle: handle.blockJobInfo(target))
        return (int(info["cur"]), int(info["end"])) if info else (0, 0)
    stats = domain.call("jobStats", lambda handle: handle.jobStats())
    return int(stats.get("disk_processed", 0)), int(stats.get("disk_total", 0))


def _reasons(events: Sequence[Event], name: str) -> list[str]:
    """What QEMU said of jobs that went wrong; it names them by libvirt's own names of them."""
    told = [event for event in events if event.kind is EventKind.QEMU and event.domain == name]
    return [str(event) for event in told if event.status == "BLOCK_JOB_ERROR" or '"error"' in event.reason]


def mirror_state(domain: Domain, target: str) -> str:
    """What libvirt knows of the disk's mirror: "no job", "none", "not ready", "ready"."""
    if not domain.call("blockJobInfo", lambda handle: handle.blockJobInfo(target)):
        return "no job"
    mirror = disk_element(domain.xml(), target).find("mirror")
    return "none" if mirror is None else "ready" if mirror.get("ready") == "yes" else "not ready"
