"""The only module that sleeps: every wait has a name, a deadline and a last sighting."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from harness.errors import Ailing, WaitTimeout


class NotYet(Exception):
    """Raised by a probe: the thing is not there yet, and why."""


T = TypeVar("T")

_scale = 1.0


def scale_deadlines(factor: float) -> None:
    """Multiply every deadline by `factor`: for a slow machine (TCG, a loaded host)."""
    global _scale
    _scale = factor


def scaled(seconds: float) -> float:
    """`seconds` of a deadline as it counts on this machine."""
    return seconds * _scale


def now() -> float:
    """Seconds on a clock that never jumps."""
    return time.monotonic()


def ticks() -> int:
    """Nanoseconds of that clock, which is the kernel's CLOCK_MONOTONIC: what a recorder notes, too."""
    return time.monotonic_ns()


def wall_clock() -> float:
    """Seconds since 1970, for clocks to be set by; never for measuring."""
    return time.time()


def wait_until(
    what: str, probe: Callable[[], T], timeout: float, interval: float = 0.01, *, stretched: bool = True
) -> T:
    """Call `probe` until it returns instead of raising NotYet.

    `timeout` is in seconds, before scaling; raises WaitTimeout with the last NotYet's reason. Pass stretched=False when
    the deadline is the claim under test: then a slow machine does not stretch it.
    For things that send an event, wait for the event instead (harness.stack.events).
    """
    seconds = scaled(timeout) if stretched else timeout
    deadline = now() + seconds
    while True:
        try:
            return probe()
        except NotYet as reason:
            if now() >= deadline:
                raise WaitTimeout(what, seconds, str(reason)) from None
        time.sleep(interval)


def settled(look: Callable[[], T], wanted: Callable[[T], bool], timeout: float) -> T:
    """What is seen as soon as it is `wanted`, or else after `timeout` seconds (before scaling): for who tells of it."""

    def probe() -> T:
        seen = look()
        if not wanted(seen):
            raise NotYet(f"seen is {seen}")
        return seen

    try:
        return wait_until("what is seen to settle", probe, timeout)
    except WaitTimeout:
        return look()


LOOK_SECONDS = 1.0
"""How often a wait, or a call that is guarded, looks whether what it waits for has died or stopped."""
_PATIENCE = 10.0


def well() -> str:
    """What is wrong: nothing."""
    return ""


def require_well(what: str, look: Callable[[], str]) -> None:
    """Raise Ailing if `look` says that something is wrong with that which is waited for."""
    ailment = look()
    if ailment:
        raise Ailing(what, ailment)


@dataclass(eq=False)
class _Guarded:
    look: Callable[[], str]
    breaks: list[Callable[[], None]]
    deadline: float
    next_look: float
    broken: bool = False
    ailment: str = ""

    @property
    def due(self) -> float:
        """When it is to be looked at again."""
        return min(self.deadline, self.next_look)


class _Guardian:
    """One thread that breaks off every guarded call whose deadline passes: a thread for each would cost more."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._guarded: list[_Guarded] = []
        self._thread: threading.Thread | None = None

    def enter(self, call: _Guarded) -> None:
        """Guard a call."""
        with self._condition:
            earliest = min((other.due for other in self._guarded), default=None)
            self._guarded.append(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
                self._thread.start()
            elif earliest is None or call.due < earliest:
                self._condition.notify()

    def leave(self, call: _Guarded) -> None:
        """The call has returned."""
        with self._condition:
            self._guarded.remove(call)

    def _watch(self) -> None:
        while True:
            with self._condition:
                due = [call for call in self._guarded if call.due <= now()]
                if not due:
                    times = [call.due for call in self._guarded]
                    self._condition.wait(max(0.0, min(times) - now()) if times else None)
            for call in due:
                self._attend(call)

    def _attend(self, call: _Guarded) -> None:
        call.next_look = now() + LOOK_SECONDS
        if not call.broken:
            with suppress(Exception):  # it looks at what is dying
                call.ailment = call.look()
        if call.ailment and not call.broken:
            call.deadline = now()
        if call.deadline <= now():
            call.broken = True
            threading.Thread(target=call.breaks.pop(0), name="break off", daemon=True).start()
            call.deadline = now() + scaled(_PATIENCE) if call.breaks else math.inf


_guardian = _Guardian()


@contextmanager
def watchdog(what: str, timeout: float, *breaks: Callable[[], None], look: Callable[[], str] = well) -> Iterator[None]:
    """Guard a call that no Python timeout can interrupt (it sits in C).

    After `timeout` seconds (before scaling), or as soon as `look` says what is wrong, the first of `breaks` runs in
    another thread; it must make the call return, as by killing the process that it waits for. If the call has not
    returned 10 seconds later, the next one runs. Then WaitTimeout, or Ailing, is raised here in place of the call's own
    error.
    """
    seconds = scaled(timeout)
    call = _Guarded(look, list(breaks), now() + seconds, now() + LOOK_SECONDS)
    _guardian.enter(call)
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
        if not call.broken:
            raise
    finally:
        _guardian.leave(call)
    if call.broken and call.ailment:
        raise Ailing(what, call.ailment) from error
    if call.broken:
        seen = f"the call was broken off: {error}" if error else "the call returned only after it was broken off"
        raise WaitTimeout(what, seconds, seen) from error
