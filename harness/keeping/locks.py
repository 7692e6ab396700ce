"""A lock on what several runs share: every wait for it is told, names the holder, and ends."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import Unusable, WaitTimeout
from harness.waiting import NotYet, now, wait_until

TOLD_AFTER = 3.0
"""Seconds after which a wait is told."""
_SEEN_BYTES = 300


def say(line: str) -> None:
    """Tell something that is no finding, as it happens, on stderr."""
    print(f"chainproof: {line}", file=sys.stderr, flush=True)


@contextmanager
def locked(file: Path, what: str, *, timeout: float) -> Iterator[None]:
    """Hold the lock `file`, which is made where it is not there; under it, `what` is made.

    A flock: it goes with its holder, and is seen from any process namespace. Raises Unusable, with the name of the
    file and of its holder, if it is still held after `timeout` seconds (before scaling), or cannot be opened.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        problem = f"{what}: its lock {file} cannot be opened: {error.strerror}"
        raise Unusable(problem, "mend it, or set CHAINPROOF_CACHE") from error
    try:
        _wait(descriptor, file, what, timeout)
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, file: Path, what: str, timeout: float) -> None:
    began = now()
    told = False

    def take() -> None:
        nonlocal told
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            if not told and now() - began >= TOLD_AFTER:
                told = True
                say(f"waiting for {what}: {holder} has locked {file}")
            raise NotYet(holder) from None

    try:
        wait_until(f"the lock {file}", take, timeout, interval=0.05)
    except WaitTimeout as error:
        problem = f"{what}: after {error.seconds:.0f} s {file} is still locked by {error.last_seen}"
        raise Unusable(problem, "end it, or wait for its end; or set CHAINPROOF_CACHE") from error


def _sign(descriptor: int) -> None:
    """Write who holds the lock into it, for those who wait."""
    with suppress(OSError):  # a full disk: then they are told less
        os.ftruncate(descriptor, 0)
        signed = f"process {os.getpid()} of {socket.gethostname()} ({' '.join(sys.argv)})"
        os.pwrite(descriptor, signed.encode()[:_SEEN_BYTES], 0)


def _holder(descriptor: int) -> str:
    signed = os.pread(descriptor, _SEEN_BYTES, 0).decode(errors="replace").strip()
    return signed or "a process that has not signed it"
