"""The only module that sleeps: every wait has a name, a deadline and a last sighting."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from harness.errors import WaitTimeout


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


class _Guardian:
    """One thread that breaks off every guarded call whose deadline passes: a thread for each would cost more."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._guarded: dict[int, tuple[float, Callable[[], None]]] = {}
        self._broken: set[int] = set()
        self._names = itertools.count()
        self._thread: threading.Thread | None = None

    def enter(self, deadline: float, break_it: Callable[[], None]) -> int:
        """Guard a call until `deadline`; returns its name."""
        with self._condition:
            name = next(self._names)
            earliest = min((when for when, _ in self._guarded.values()), default=None)
            self._guarded[name] = (deadline, break_it)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
                self._thread.start()
            elif earliest is None or deadline < earliest:
                self._condition.notify()
            return name

    def leave(self, name: int) -> bool:
        """The call has returned; True if it was broken off."""
        with self._condition:
            self._guarded.pop(name, None)
            broken = name in self._broken
            self._broken.discard(name)
            return broken

    def _watch(self) -> None:
        while True:
            with self._condition:
                late = [(name, call) for name, (when, call) in self._guarded.items() if when <= now()]
                for name, _ in late:
                    del self._guarded[name]
                    self._broken.add(name)
                if not late:
                    deadlines = [when for when, _ in self._guarded.values()]
                    self._condition.wait(max(0.0, min(deadlines) - now()) if deadlines else None)
            for _, break_it in late:
                threading.Thread(target=break_it, name="break off", daemon=True).start()


_guardian = _Guardian()


@contextmanager
def watchdog(what: str, timeout: float, break_it: Callable[[], None]) -> Iterator[None]:
    """Guard a call that no Python timeout can interrupt (it sits in C).

    After `timeout` seconds (before scaling) `break_it` runs in another thread and must make the call return, as by
    killing the process that it waits for; then WaitTimeout is raised here in place of the call's own error.
    """
    seconds = scaled(timeout)
    name = _guardian.enter(now() + seconds, break_it)
    try:
        yield
    except Exception as error:
        if _guardian.leave(name):
            raise WaitTimeout(what, seconds, f"the call was broken off: {error}") from error
        raise
    except BaseException:
        _guardian.leave(name)
        raise
    if _guardian.leave(name):
        raise WaitTimeout(what, seconds, "the call returned only after it was broken off")
