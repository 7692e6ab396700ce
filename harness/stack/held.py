"""A command that is stopped where it first says something, so that the moment can be looked at."""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from harness.errors import ChainproofError, how_ended
from harness.process import PIPE, Child, Completed, interrupt, kill, read_until, wait
from harness.stack.sandbox import Sandbox
from harness.waiting import now, scaled

_PIPE_BYTES = 4096


class HeldCommand:
    """Runs a command inside a sandbox with a stderr that takes no byte, like a terminal stopped with Ctrl-S.

    `virsh blockcommit --verbose --pivot` prints its progress between the job's READY and its pivot: held, it stays
    there for as long as one likes, although it was typed as documented. No race, no patched virsh, no throttled job.
    """

    def __init__(self, sandbox: Sandbox, command: Sequence[str]) -> None:
        self._sandbox = sandbox
        self._command = tuple(command)
        self._child: Child | None = None
        self._read = -1
        self._began = 0.0
        self._done: Completed | None = None
        self.interrupted = False
        """Whether Ctrl-C was pressed."""

    @property
    def done(self) -> Completed:
        """The command's end; raises ChainproofError while it is held."""
        if self._done is None:
            raise ChainproofError(f"{self._command[0]} is still held")
        return self._done

    def __enter__(self) -> Self:
        self._read, write = os.pipe()
        try:
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            os.write(write, b"\0" * _PIPE_BYTES)  # full: whoever writes to it waits
            self._began = now()
            with os.fdopen(os.dup(write), "wb") as stderr:
                self._child = self._sandbox.spawn(self._command, stdout=PIPE, stderr=stderr)
        finally:
            os.close(write)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        child = self._child
        if child is not None:
            kill(child)
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()
        os.close(self._read)

    def ailment(self) -> str:
        """That it has ended though it is held, if it has."""
        status = self._child.poll() if self._child is not None else None
        return "" if status is None else f"{how_ended(status)}: {shlex.join(self._command)}"

    def interrupt(self) -> None:
        """Press Ctrl-C. Raises ChainproofError if the command does not run."""
        if self._child is None:
            raise ChainproofError("the command was not started")
        interrupt(self._child)
        self.interrupted = True

    def release(self, timeout: float = 60) -> Completed:
        """Let the command go on to its end, and return what it printed."""
        child = self._child
        if child is None or child.stdout is None:
            raise ChainproofError("the command was not started")
        what = f"the end of {self._command[0]}"
        stderr = read_until(self._read, None, what, seconds=scaled(timeout))[_PIPE_BYTES:]
        stdout = read_until(child.stdout.fileno(), None, what, seconds=scaled(timeout))
        status = wait(child, what, timeout=timeout)
        self._done = Completed(
            self._command, status, stdout.decode(errors="replace"), stderr.decode(errors="replace"), now() - self._began
        )
        return self._done
