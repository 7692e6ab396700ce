"""A block job of a disk, driven by libvirt's events, never by its progress."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import libvirt

from harness.errors import ChainproofError
from harness.journal import Kind
from harness.oracle.content import Content
from harness.stack.events import Event, EventKind
from harness.waiting import NotYet, wait_until

if TYPE_CHECKING:
    from harness.vm.disk import Disk

READY_TIMEOUT = 120.0


class BlockJobFailed(ChainproofError):
    """A job ended otherwise than it was told to."""


class BlockJob:
    """A job from its start to its end; as a context, one that was left open by an error is aborted.

    `kind` is libvirt's word (active-commit, commit, pull, copy); `ready` and `completed` say what each means for the
    disk's content.
    """

    def __init__(
        self,
        disk: Disk,
        kind: str,
        start: Callable[[], object],
        *,
        ready: Callable[[Content], Content] | None = None,
        completed: Callable[[Content], Content],
    ) -> None:
        self.disk = disk
        self.kind = kind
        self._ready = ready
        self._completed = completed
        self._over = False
        self._since = disk.domain.daemon.events.mark()
        disk.domain.guarded(f"the start of {self}", start)

    def __str__(self) -> str:
        return f"the {self.kind} of {self.disk.target}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._over:
            return
        if kind is None:
            raise BlockJobFailed(f"{self} was left open: pivot, abort or wait for its end")
        try:
            self.disk.domain.handle.blockJobAbort(self.disk.target, 0)
        except libvirt.libvirtError as also:
            self._note(f"could not be aborted after the error: {also}")

    def wait_ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait for READY: phase one is over, the job is awake and in sync."""
        self._await("ready", timeout)
        if self._ready is not None:
            self.disk.content = self._ready(self.disk.content)
        self._note("is ready: awake and in sync")

    def wait_ready_again(self, timeout: float = 10) -> None:
        """Wait until a libvirtd that was started anew knows that the job is READY: by its state, no event tells it.

        libvirt 7 and 9 know the mirror at once and that it is ready a moment later.
        """

        def ready() -> None:
            state = self.disk.mirror_state()
            if state != "ready":
                raise NotYet(f"its mirror is: {state}")

        wait_until(f"{self} to be known as ready", ready, timeout, interval=0.01)
        self._note("is still ready")

    def wait_completed(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait for the end of a job that has one phase."""
        self._await("completed", timeout)
        self._over = True
        self.disk.content = self._completed(self.disk.content)
        self._note("is completed")

    def pivot(self, timeout: float = 60) -> None:
        """Make the job's target the active layer."""
        self._abort(libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT, "the pivot of")
        self._await("completed", timeout)
        self._over = True
        self.disk.content = self.disk.content.pivot()
        self._note("has pivoted")

    def abort(self, timeout: float = 60) -> None:
        """Give the job up: the active layer stays what it is."""
        self._abort(0, "the abort of")
        self._await("canceled", timeout)
        self._over = True
        if self.disk.content.mirror is not None:
            self.disk.content = self.disk.content.abort()
        self._note("is aborted")

    def pretend_pivoted(self) -> None:
        """Tell the oracle that the job has pivoted, whatever it did: for the proof that this would be found."""
        self._over = True
        self.disk.content = self.disk.content.pivot()

    def _abort(self, flags: int, what: str) -> None:
        self.disk.domain.guarded(
            f"{what} {self}", lambda: self.disk.domain.handle.blockJobAbort(self.disk.target, flags)
        )

    def _await(self, status: str, timeout: float) -> None:
        def mine(event: Event) -> bool:
            return (
                event.kind is EventKind.BLOCK_JOB_2
                and event.domain == self.disk.domain.name
                and event.subject == self.disk.target
                and (event.status == status or event.status in ("failed", "canceled", "completed"))
            )

        event = self.disk.domain.daemon.events.wait(f"{self} to be {status}", mine, since=self._since, timeout=timeout)
        if event.status != status:
            self._over = True
            raise BlockJobFailed(f"{self}: waited for {status}, but it {event.status}")

    def _note(self, text: str) -> None:
        self.disk.domain.journal.record(Kind.EVENT, f"{self} {text}")
