"""A command inside a stack's private namespaces; everything in there dies with us, always, and leaves no file."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

from harness.errors import Ailing, Unusable, WaitTimeout, how_ended
from harness.process import (
    PIPE,
    Child,
    Completed,
    ended_within,
    finish,
    has_stopped,
    installed,
    read_until,
    spawn,
    wait,
)
from harness.stack import programs
from harness.stack.powerless import powerless_root
from harness.stack.run_directory import RunDirectory
from harness.stack.view import BUSYBOX as BUSYBOX
from harness.stack.view import SMALL as SMALL
from harness.stack.view import SMALL_BYTES as SMALL_BYTES
from harness.stack.view import Isolation as Isolation
from harness.stack.view import loaded, view
from harness.storage.stores import beneath
from harness.waiting import scaled

IMAGES = PurePosixPath("/export/images")
DEVICES = IMAGES / "devices"
"""Where the block devices of a trial are."""
_INIT = "/chainproof/dumb-init"
_OURS = (("busybox", "busybox-static", BUSYBOX), ("dumb-init", "dumb-init", _INIT))
_END = re.compile(r"A child with PID (\d+) (?:exited with exit status|was terminated by signal) (\d+)")
_ENVIRONMENT = {"PATH": f"{programs.DIRECTORY}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}

# PID 1 of the sandbox reaps what is orphaned, as QEMU is, and says on stderr how it ended. It ends with its child,
# which says that it is up, and holds still while its stdin (the life-line) is open. Then the kernel kills everything
# else, whoever let go of the life-line and why.
_FIRST = (_INIT, "--verbose", "--single-child", BUSYBOX, "sh", "-c")
_SUPERVISOR = f"""
exec 3<&0 </dev/null
echo up
exec {BUSYBOX} cat <&3 >/dev/null
"""

# Between nsenter and what runs inside, outside the process namespace: starts it there, waits for its end, and ends the
# same way. nsenter's own wait stops when the command is stopped: then nobody reaps the command, and the sandbox's PID 1
# waits for that forever. Its own words (of a signal) go nowhere: stderr is the command's, and may take none (held.py).
# What is preloaded is named here: outside there is no such file, and the loader of nsenter would say so.
_ENTERED = """
exec 3>&2 2>/dev/null
(%s exec "$@" 2>&3 3>&-)
status=$?
[ $status -le 128 ] || kill -$((status - 128)) $$
exit $status
"""


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
        with tempfile.TemporaryFile() as status, self._said.open("ab") as said:
            passed = [status.fileno(), *self._passed]
            if not self._has_user_namespace:
                passed.append(powerless_root())
            command = self._command(status.fileno())
            self._bwrap = spawn(command, environment=self.environment, pass_fds=passed, stderr=said)
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
        try:
            if bwrap is not None:
                self._end(bwrap)
        finally:
            self.run_directory.close()

    def _end(self, bwrap: Child) -> None:
        assert bwrap.stdin is not None
        bwrap.stdin.close()
        try:
            wait(bwrap, "the end of the sandbox", timeout=20, look=self._first_ailment)
        except (WaitTimeout, Ailing):
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # bwrap has not reaped it: the pid is still its own
            bwrap.kill()
            bwrap.wait()
            raise
        finally:
            assert bwrap.stdout is not None
            bwrap.stdout.close()

    def run(self, command: Sequence[str], *, timeout: float, input_bytes: bytes | None = None) -> Completed:
        """As harness.process.run, inside; the Completed names the command as typed there.

        It dies with the sandbox, so with us. What waits for it out here must not die before it: the orphan would be
        the machine's PID 1's to reap, which takes seconds in some containers, and the sandbox would not end until then.
        """
        child = self.spawn(command, stdout=PIPE, stderr=PIPE)
        return finish(child, command, timeout=timeout, input_bytes=input_bytes, look=self.ailment)

    def spawn(
        self, command: Sequence[str], *, stdout: int | IO[bytes], stderr: int | IO[bytes], is_daemon: bool = False
    ) -> Child:
        """Start a command inside without waiting; it lives no longer than the sandbox.

        `is_daemon`: it is libvirtd, which gets every shared object that is to be preloaded.
        """
        return spawn(
            self.entered(command, is_daemon=is_daemon),
            environment=self.environment,
            stdin=PIPE,
            stdout=stdout,
            stderr=stderr,
        )

    def entered(self, command: Sequence[str], *, is_daemon: bool = False) -> list[str]:
        """The command line that runs `command` inside; `is_daemon` as for `spawn`."""
        preloaded = loaded(self.isolation, by_daemon=is_daemon)
        script = _ENTERED % (f"export LD_PRELOAD={preloaded};" if preloaded else "")
        # -r: where this machine is itself a chroot, the root of the mount namespace is not that of the sandbox
        enter = ["nsenter", "-t", str(self.pid), "-U", "--preserve-credentials", "-r", "-m", "-p", "-i", "-n", "-u"]
        return [*enter, "--no-fork", "--", BUSYBOX, "sh", "-c", script, str(self.directory), *command]

    def signal(self, pid: int, name: str) -> None:
        """Send a signal (KILL, STOP, TERM) to the process that has this pid inside; one that is gone is no error."""
        self.run([BUSYBOX, "kill", f"-{name}", str(pid)], timeout=10)

    def process(self, pid: int) -> Path:
        """The directory in /proc, seen from out here, of the process that has this pid inside."""
        return Path(f"/proc/{self.pid}/root/proc/{pid}")

    def ailment(self) -> str:
        """What is wrong with the sandbox itself, in words, or nothing."""
        bwrap = self._bwrap
        if bwrap is not None and (bwrap.poll() is not None or not self.process(1).exists()):
            ended_within(bwrap, 1)
            return f"the first process of the sandbox {how_ended(bwrap.returncode or 0)}"
        return self._first_ailment() or self.run_directory.ailment()

    def _first_ailment(self) -> str:
        return "the first process of the sandbox has stopped" if has_stopped(Path(f"/proc/{self.pid}")) else ""

    def exit_status(self, pid: int, since: int) -> int | None:
        """How the orphan that had this pid inside has ended, as of a Child; None if that is not known (yet).

        Whatever daemonizes is an orphan, as QEMU is. `since` is how many had ended when it began: pids come again.
        """
        return dict(self.ends()[since:]).get(pid)

    def ends(self) -> list[tuple[int, int]]:
        """The orphans that have ended so far, in order: the pid that each had inside, and its status as of a Child."""
        try:
            log = self._said.read_text()
        except FileNotFoundError:
            return []
        return [(int(end[1]), -int(end[2]) if "signal" in end[0] else int(end[2])) for end in _END.finditer(log)]

    def processes(self) -> str:
        """What runs inside, a line for each thread: pid, name, state, and what it waits for in the kernel."""
        lines = []
        for thread in sorted(self.process(1).parent.glob("[0-9]*/task/[0-9]*"), key=lambda path: int(path.name)):
            with suppress(OSError, IndexError):
                _, name, rest = re.split(r" \(|\) ", (thread / "stat").read_text(), maxsplit=2)
                waits = (thread / "wchan").read_text()
                lines.append(f"{thread.parents[1].name:>6} {thread.name:>6} {name:16} {rest[0]} {waits}")
        return "\n".join(lines)

    def outside(self, path: PurePosixPath) -> Path:
        """The path on this machine of a path inside, for the directory that both can see; of a device, its file's."""
        if path.is_relative_to(IMAGES.parent):
            place = self.directory / "export" / path.relative_to(IMAGES.parent)
            return beneath(place) if path.parent == DEVICES and place.is_block_device() else place
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
        for program, package, at in _OURS:
            command += ["--ro-bind", installed(program, package), at]
        return [*command, "--", *_FIRST, _SUPERVISOR, str(self.directory)]  # so that ps tells whose it is

    @property
    def _said(self) -> Path:
        """What bubblewrap and the first process inside have said."""
        return self.directory / "sandbox.log"

    def _bin(self, number: int) -> Path:
        return self.directory / f"bin-{number}"

    def _await_up(self, status: IO[bytes]) -> int:
        """Wait until the supervisor runs; returns its pid, which bwrap wrote to `status` before."""
        bwrap = self._bwrap
        assert bwrap is not None
        assert bwrap.stdout is not None
        up = read_until(bwrap.stdout.fileno(), b"up\n", "the sandbox to come up", seconds=scaled(20))
        if b"up\n" not in up:
            wait(bwrap, "bubblewrap to end", timeout=10)
            raise Unusable("bubblewrap cannot build a sandbox", _remedy(), self._said.read_text().strip())
        status.seek(0)
        return int(json.loads(status.readline())["child-pid"])


def _remedy() -> str:
    if os.getuid() == 0:
        return "see its message"
    return (
        "unprivileged user namespaces must be allowed (sysctl kernel.unprivileged_userns_clone=1, on Ubuntu also"
        " kernel.apparmor_restrict_unprivileged_userns=0); inside a container only root can do it"
    )
