"""The only module that starts child processes: each has a deadline, and its stderr is in the error."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from harness.errors import ChainproofError, CommandFailed, Unusable, WaitTimeout
from harness.waiting import LOOK_SECONDS, now, require_well, scaled, well

Child = subprocess.Popen[bytes]
PIPE = subprocess.PIPE
STDOUT = subprocess.STDOUT
NOWHERE = subprocess.DEVNULL
NOT_FOUND = 127
"""A shell's exit status where there is no such program."""


@dataclass(frozen=True)
class Completed:
    """A child process that has ended."""

    command: tuple[str, ...]
    exit_status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def output(self) -> str:
        """stdout and then stderr."""
        return self.stdout + self.stderr

    def check(self, status: int = 0) -> Completed:
        """Return self, or raise CommandFailed if the exit status is another one."""
        if self.exit_status != status:
            raise CommandFailed(self.command, self.exit_status, self.stdout, self.stderr)
        return self


def run(
    command: Sequence[str],
    *,
    timeout: float,
    input_bytes: bytes | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Run `command` to its end within `timeout` seconds (before scaling).

    It dies with us, `kill -9` included, and in any case at the deadline, with all that it started in its process group.
    Raises CommandFailed if it cannot be started (exit status 127), WaitTimeout at the deadline; a status other
    than 0 is returned: use `.check()`.
    """
    # PR_SET_PDEATHSIG is bound to the thread that spawns: that thread waits right here for the end
    child = spawn(dying_with_us(command), environment=environment, directory=directory, pass_fds=pass_fds)
    return finish(child, command, timeout=timeout, input_bytes=input_bytes)


def finish(
    child: Child,
    command: Sequence[str],
    *,
    timeout: float,
    input_bytes: bytes | None = None,
    look: Callable[[], str] = well,
) -> Completed:
    """As `run`, of a child that was spawned as `command` just now; by what it dies with us is the caller's affair.

    Raises Ailing as soon as `look` says what is wrong with that which it needs.
    """
    started = now()
    seconds = scaled(timeout)
    try:
        stdout, stderr = _communicate(child, input_bytes, shlex.join(command), seconds, look)
    except subprocess.TimeoutExpired:
        kill(child)
        stdout, stderr = child.communicate()
        seen = (stderr or stdout).decode(errors="replace").strip()[-2000:]
        raise WaitTimeout(f"the end of: {shlex.join(command)}", seconds, seen) from None
    except BaseException:
        kill(child)
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):  # what it has not read
                    stream.close()
        raise
    return Completed(
        tuple(command),
        child.returncode,
        stdout.decode(errors="replace"),
        stderr.decode(errors="replace"),
        now() - started,
    )


def _communicate(
    child: Child, input_bytes: bytes | None, what: str, seconds: float, look: Callable[[], str]
) -> tuple[bytes, bytes]:
    """Popen.communicate, which goes on where it was when it is called again after its timeout."""
    deadline = now() + seconds
    while True:
        with suppress(subprocess.TimeoutExpired):
            return child.communicate(input_bytes, timeout=min(deadline - now(), LOOK_SECONDS))
        input_bytes = None  # it was taken the first time
        require_well(what, look)
        if now() >= deadline:
            raise subprocess.TimeoutExpired(child.args, seconds)


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    pass_fds: Sequence[int] = (),
    stdin: int | IO[bytes] = subprocess.PIPE,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
) -> Child:
    """Start `command` in a session of its own; who calls owns it and must end it."""
    try:
        return subprocess.Popen(
            list(command),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=None if environment is None else dict(environment),
            cwd=directory,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(command, NOT_FOUND, "", str(error)) from error


def wait(child: Child, what: str, *, timeout: float, look: Callable[[], str] = well) -> int:
    """The exit status of a child, within `timeout` seconds (before scaling).

    Raises WaitTimeout; Ailing as soon as `look` says what is wrong.
    """
    seconds = scaled(timeout)
    deadline = now() + seconds
    while not ended_within(child, max(0.0, min(LOOK_SECONDS, deadline - now()))):
        require_well(what, look)
        if now() >= deadline:
            raise WaitTimeout(what, seconds, f"process {child.pid} still runs")
    return child.returncode


def ended_within(child: Child, seconds: float) -> bool:
    """Wait for `seconds` (not scaled), or less if the child ends before; say whether it has."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def has_stopped(process: Path) -> bool:
    """Whether a process, by its directory in a /proc, has stopped, as by SIGSTOP; one that is gone has not."""
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in "Tt"


def installed(program: str, package: str) -> str:
    """Where a program of this machine is, from a Debian package. Raises Unusable if it is not there."""
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise Unusable(f"not installed: {package}", "run: ci/run doctor")
    return found


def read_until(
    stream: int, wanted: bytes | None, what: str, *, seconds: float, look: Callable[[], str] = well
) -> bytes:
    """What the file descriptor `stream` gives up to and with `wanted`, or to its end.

    `seconds` are not scaled. Raises WaitTimeout with what came so far; Ailing as soon as `look` says what is wrong.
    """
    deadline = now() + seconds
    received = b""
    while wanted is None or wanted not in received:
        if not select.select([stream], [], [], max(0.0, min(LOOK_SECONDS, deadline - now())))[0]:
            require_well(what, look)
            if now() >= deadline:
                raise WaitTimeout(what, seconds, received.decode(errors="replace"))
            continue
        data = os.read(stream, 65536)
        if not data:
            break
        received += data
    return received


def kill(child: Child) -> None:
    """End a child at once, what it has started before itself.

    Kill the child inside the sandbox before nsenter: an orphan would be reparented to the host's PID 1, which in a
    container may never reap it, and the sandbox would not end.
    """
    if child.poll() is None:
        started = started_by(child)
        for process in started:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(process.name), signal.SIGKILL)
        try:
            child.wait(1 if started else 0)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def interrupt(child: Child) -> None:
    """Send SIGINT to what a child has started, as Ctrl-C does. Raises ChainproofError if it has started none."""
    started = started_by(child)
    for process in started:
        os.kill(int(process.name), signal.SIGINT)
    if not started:
        raise ChainproofError(f"there is nothing to interrupt: pid {child.pid} runs nothing")


def started_by(child: Child) -> list[Path]:
    """The processes that a child has started and not yet reaped, by their directories in /proc."""
    try:
        pids = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    except OSError:
        return []
    return [Path("/proc", pid) for pid in pids]


def end(child: Child, *, timeout: float) -> int:
    """End a child: SIGTERM, then SIGKILL to its process group after `timeout` seconds (before scaling)."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(scaled(timeout))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(scaled(timeout))
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            stream.close()
    return child.returncode


def dying_with_us(command: Sequence[str]) -> list[str]:
    """The command line under which the kernel kills `command` when the thread that starts it is gone.

    Only this process may start it, and no other process in between. If we die before setpriv has asked the kernel for
    that, nothing comes of it: the shell looks for its parent after setpriv, and `command` does not begin.
    """
    begin = ["/bin/sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"', str(os.getpid())]
    return ["setpriv", "--pdeathsig", "KILL", "--", *begin, *command]


def end_if_orphaned(parent: int) -> None:
    """End this process at once if the one with the pid `parent`, which started it, is gone."""
    if os.getppid() != parent:
        os._exit(1)


class Runner(Protocol):
    """Where commands run: on this machine (`run` itself) or inside a stack's sandbox."""

    def __call__(self, command: Sequence[str], *, timeout: float, input_bytes: bytes | None = None) -> Completed:
        """As `run`."""
