"""A command inside a stack's private namespaces; everything in there dies with us, always, and leaves no file."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

from harness.errors import Unusable, WaitTimeout
from harness.keeping.directory import static_busybox
from harness.process import PIPE, Child, Completed, finish, read_until, spawn, wait
from harness.stack import programs
from harness.stack.powerless import powerless_root
from harness.stack.run_directory import RunDirectory
from harness.stack.view import BUSYBOX as BUSYBOX
from harness.stack.view import Isolation as Isolation
from harness.stack.view import view
from harness.waiting import scaled

IMAGES = PurePosixPath("/export/images")
_ENVIRONMENT = {"PATH": f"{programs.DIRECTORY}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}

# PID 1 of the sandbox: says that it is up, holds still while its stdin (the life-line) is open, and reaps what is
# orphaned; then ends, and the kernel kills everything else, whoever let go of the life-line and why.
_SUPERVISOR = f"""
exec 3<&0 </dev/null
echo up
{BUSYBOX} cat <&3 >/dev/null &
wait $!
"""

# Between nsenter and what runs inside, outside the process namespace: starts it there, waits for its end, and ends the
# same way. nsenter's own wait stops when the command is stopped: then nobody reaps the command, and the sandbox's PID 1
# waits for that forever.
_ENTERED = '"$@"; status=$?; [ $status -le 128 ] || kill -$((status - 128)) $$; exit $status'


class Sandbox:
    """Private PID, mount, IPC, network and UTS namespaces, of which `pid` is the first process, on this machine.

    The run directory belongs to the sandbox, and goes with it. Inside, only what of it is bound can be seen.
    """

    def __init__(self, run_directory: RunDirectory, isolation: Isolation) -> None:
        self.directory = run_directory.path
        self.run_directory = run_directory
        self.isolation = isolation
        self.environment = {**_ENVIRONMENT, **isolation.environment}
        self._bwrap: Child | None = None
        self.pid = 0
        self._passed: list[int] = []  # file descriptors that bubblewrap needs besides

    def __enter__(self) -> Self:
        """Build the namespaces. Raises Unusable if bubblewrap cannot."""
        # A file, not a pipe: if we were killed now, bwrap would die of the pipe before it lets its child begin, and the
        # child would wait for that forever. What was begun ends by the life-line.
        with tempfile.TemporaryFile() as status:
            passed = [status.fileno(), *self._passed]
            if not self._has_user_namespace:
                passed.append(powerless_root())
            self._bwrap = spawn(self._command(status.fileno()), environment=self.environment, pass_fds=passed)
            try:
                self.pid = self._await_up(status)
            except BaseException:
                self.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the life-line and wait until everything inside is dead and the run directory is gone."""
        bwrap, self._bwrap = self._bwrap, None
        if bwrap is not None:
            self._end(bwrap)
        self.run_directory.close()

    def _end(self, bwrap: Child) -> None:
        assert bwrap.stdin is not None
        bwrap.stdin.close()
        try:
            wait(bwrap, "the end of the sandbox", timeout=20)
        except WaitTimeout:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # bwrap has not reaped it: the pid is still its own
            bwrap.kill()
            bwrap.wait()
            raise
        finally:
            for stream in (bwrap.stdout, bwrap.stderr):
                assert stream is not None
                stream.close()

    def run(self, command: Sequence[str], *, timeout: float, input_bytes: bytes | None = None) -> Completed:
        """As harness.process.run, inside; the Completed names the command as typed there.

        It dies with the sandbox, so with us. What waits for it out here must not die before it: the orphan would be
        the machine's PID 1's to reap, which takes seconds in some containers, and the sandbox would not end until then.
        """
        return finish(self.spawn(command, stdout=PIPE, stderr=PIPE), command, timeout=timeout, input_bytes=input_bytes)

    def spawn(self, command: Sequence[str], *, stdout: int | IO[bytes], stderr: int | IO[bytes]) -> Child:
        """Start a command inside without waiting; it lives no longer than the sandbox."""
        return spawn(
            self.entered(command),
            environment=self.environment,
            stdin=PIPE,
            stdout=stdout,
            stderr=stderr,
        )

    def entered(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` inside."""
        # -r: where this machine is itself a chroot, the root of the mount namespace is not that of the sandbox
        enter = ["nsenter", "-t", str(self.pid), "-U", "--preserve-credentials", "-r", "-m", "-p", "-i", "-n", "-u"]
        return [*enter, "--no-fork", "--", BUSYBOX, "sh", "-c", _ENTERED, str(self.directory), *command]

    def signal(self, pid: int, name: str) -> None:
        """Send a signal (KILL, STOP, TERM) to the process that has this pid inside; one that is gone is no error."""
        self.run([BUSYBOX, "kill", f"-{name}", str(pid)], timeout=10)

    def outside(self, path: PurePosixPath) -> Path:
        """The path on this machine of a path inside, for the directory that both can see."""
        if path.is_relative_to(IMAGES.parent):
            return self.directory / "export" / path.relative_to(IMAGES.parent)
        raise ValueError(f"{path} is not visible outside the sandbox")

    @property
    def _has_user_namespace(self) -> bool:
        return self.isolation.uid is not None or os.getuid() != 0

    def _namespaces(self) -> list[str]:
        """bwrap's options for whose processes are seen, and as whom."""
        command = ["--unshare-pid", "--as-pid-1"]
        if self._has_user_namespace:
            uid = os.getuid() if self.isolation.uid is None else self.isolation.uid
            return [*command, "--unshare-user", "--uid", str(uid), "--gid", str(uid)]
        return [*command, "--userns2", str(powerless_root())]

    def _command(self, status: int) -> list[str]:
        command = ["bwrap", *self._namespaces(), "--unshare-ipc", "--unshare-net", "--unshare-uts"]
        command += ["--hostname", "chainproof", "--json-status-fd", str(status)]
        command += view(self.isolation)
        if self.isolation.programs:
            into = next(path for path in map(self._bin, count()) if not path.exists())
            command += programs.install(self.isolation.programs, self.isolation.tree, into)
        command += ["--ro-bind", static_busybox(), BUSYBOX]
        return [*command, "--", BUSYBOX, "sh", "-c", _SUPERVISOR, str(self.directory)]  # so that ps tells whose it is

    def _bin(self, number: int) -> Path:
        return self.directory / f"bin-{number}"

    def _await_up(self, status: IO[bytes]) -> int:
        """Wait until the supervisor runs; returns its pid, which bwrap wrote to `status` before."""
        bwrap = self._bwrap
        assert bwrap is not None
        assert bwrap.stdout is not None
        up = read_until(bwrap.stdout.fileno(), b"up\n", "the sandbox to come up", seconds=scaled(20))
        if b"up\n" not in up:
            raise Unusable("bubblewrap cannot build a sandbox", _remedy(), _last_words(bwrap))
        status.seek(0)
        return int(json.loads(status.readline())["child-pid"])


def _last_words(child: Child) -> str:
    assert child.stderr is not None
    return child.stderr.read().decode(errors="replace").strip()


def _remedy() -> str:
    if os.getuid() == 0:
        return "see its message"
    return (
        "unprivileged user namespaces must be allowed (sysctl kernel.unprivileged_userns_clone=1, on Ubuntu also"
        " kernel.apparmor_restrict_unprivileged_userns=0); inside a container only root can do it"
    )
