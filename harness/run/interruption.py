"""Ctrl-C, SIGTERM and SIGHUP: a run ends politely, and in any case soon."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from types import FrameType
from typing import Self

GRACE = 1.5
"""Seconds that an interrupted run has to end by itself; then it ends as by kill -9, which leaves nothing either."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Turns the first signal into KeyboardInterrupt, and ends the process at the second one, or after GRACE.

    Python's own handlers run between two steps of the main thread, which may sit in a call of libvirt's for long: a
    thread of ours hears of each signal at once.
    """

    def __init__(self) -> None:
        self._number: int | None = None

    def status(self) -> int:
        """The exit status that the signal asks for (130 for SIGINT); 0 if there was none."""
        return 0 if self._number is None else 128 + self._number

    def __enter__(self) -> Self:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._interrupt)
        threading.Thread(target=self._watch, args=(reader,), name="interruption", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        pass  # what ends this process at a second signal, or when it lingers, stays until the end

    def _interrupt(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._number = self._number or number  # the thread may hear of it only when the run has ended of it
        raise KeyboardInterrupt

    def _watch(self, reader: int) -> None:
        first = 0
        while first not in _SIGNALS:
            first = os.read(reader, 1)[0]  # of any signal that has a handler of Python's
        self._number = self._number or first
        while select.select([reader], [], [], GRACE)[0]:
            if os.read(reader, 1)[0] in _SIGNALS:
                break
        sys.stderr.write("chainproof: interrupted\n")
        os._exit(self.status())


def left_to_the_run() -> None:
    """In a worker: Ctrl-C on a terminal reaches it, too, but its run decides what to do."""
    signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which what we start would inherit
