"""The only module that sleeps: every wait has a name, a deadline and a last sighting."""

from __future__ import annotations

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


def wait_until(what: str, probe: Callable[[], T], timeout: float, interval: float = 0.01) -> T:
    """Call `probe` until it returns instead of raising NotYet.

    `timeout` is in seconds, before scaling; raises WaitTimeout with the last NotYet's reason.
    For things that send an event, wait for the event instead (harness.stack.events).
    """
    seconds = scaled(timeout)
    deadline = now() + seconds
    while True:
        try:
            return probe()
        except NotYet as reason:
            if now() >= deadline:
                raise WaitTimeout(what, seconds, str(reason)) from None
        time.sleep(interval)


@contextmanager
def watchdog(what: str, timeout: float, break_it: Callable[[], None]) -> Iterator[None]:
    """Guard a call that no Python timeout can interrupt (it sits in C).

    After `timeout` seconds (before scaling) `break_it` runs in another thread and must make the call return,
    as by killing the process that it waits for; then WaitTimeout is raised here in place of the call's own error.
    """
    seconds = scaled(timeout)
    fired = threading.Event()

    def bark() -> None:
        fired.set()
        break_it()

    timer = threading.Timer(seconds, bark)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if fired.is_set():
            raise WaitTimeout(what, seconds, f"the call was broken off: {error}") from error
        raise
    finally:
        timer.cancel()
    if fired.is_set():
        raise WaitTimeout(what, seconds, "the call returned only after it was broken off")
