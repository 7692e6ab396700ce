"""The stack's qemu-storage-daemon, kept for the whole life of a sandbox: QEMU's own eyes for images, without a VM."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from harness.errors import ChainproofError, QmpError, Unusable, how_ended
from harness.process import NOT_FOUND, PIPE, Child, ended_within, has_stopped, kill, read_until, started_by, wait
from harness.stack.sandbox import IMAGES, Sandbox
from harness.waiting import scaled

Command = tuple[str, Mapping[str, object]]
Json = dict[str, object]

TIMEOUT = 60.0
_SOCKET = IMAGES.parent / "storage.nbd"


class StorageDaemonDied(ChainproofError):
    """The storage daemon has ended by itself; carries how, and its last words."""


class StorageDaemon:
    """One qemu-storage-daemon in `sandbox`, driven by QMP; its NBD exports are reached through `socket_inside`.

    It starts when it is first needed, and again when it is needed after it was closed; with `options` besides.
    """

    def __init__(self, sandbox: Sandbox, socket_inside: PurePosixPath = _SOCKET, options: tuple[str, ...] = ()) -> None:
        self._sandbox = sandbox
        self._options = options
        self._socket = socket_inside
        self._child: Child | None = None
        self._received = b""
        self._events: list[Json] = []

    @property
    def socket(self) -> Path:
        """The NBD server's socket, on this machine."""
        return self._sandbox.outside(self._socket)

    @property
    def _log(self) -> Path:
        return self._sandbox.directory / f"storage-daemon.{self._socket.stem}.log"

    def _start(self) -> Child:
        self.socket.unlink(missing_ok=True)
        self._received = b""
        self._events.clear()
        command = ["qemu-storage-daemon", "--chardev", "stdio,id=monitor", "--monitor", "chardev=monitor"]
        command += self._options
        with self._log.open("wb") as log:
            self._child = self._sandbox.spawn(command, stdout=PIPE, stderr=log)
        self._next()  # the greeting
        address = {"type": "unix", "data": {"path": str(self._socket)}}
        self.execute([("qmp_capabilities", {}), ("nbd-server-start", {"addr": address})])
        return self._child

    def close(self) -> None:
        """End it at once; the next command starts it anew."""
        child, self._child = self._child, None
        if child is None:
            return
        kill(child)
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # what it has not read
                    stream.close()

    def execute(self, commands: Sequence[Command]) -> list[object]:
        """What each command returns; all are sent at once. Raises QmpError for the first that is refused."""
        child = self._child or self._start()
        assert child.stdin is not None
        lines = [json.dumps({"execute": name, "arguments": arguments}) for name, arguments in commands]
        try:
            child.stdin.write("\n".join([*lines, ""]).encode())
            child.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        answers: list[Json] = []
        while len(answers) < len(commands):
            message = self._next()
            (self._events if "event" in message else answers).append(message)
        for (name, _), answer in zip(commands, answers, strict=True):
            if "error" in answer:
                raise QmpError(f"qemu-storage-daemon: {name}: {answer['error']}")
        return [answer["return"] for answer in answers]

    def wait_event(self, name: str, count: int) -> None:
        """Wait until `count` events of this name have come, and forget all events so far."""
        while sum(event["event"] == name for event in self._events) < count:
            self._events.append(self._next())
        self._events.clear()

    def require_alive(self) -> None:
        """Raise StorageDaemonDied if it has ended by itself; it takes a moment after its sockets are closed."""
        if self._child is not None and ended_within(self._child, 0.2):
            raise self._died()

    def _ailment(self) -> str:
        """Whether it has stopped; that it has ended is read."""
        if self._child is not None and any(map(has_stopped, started_by(self._child))):
            return "qemu-storage-daemon has stopped"
        return self._sandbox.ailment()

    def _died(self) -> ChainproofError:
        """What to raise of a daemon that has ended; the next command starts another."""
        child = self._child
        assert child is not None
        status = wait(child, "qemu-storage-daemon to end", timeout=10)
        words = self._log.read_text(errors="replace").strip()
        self.close()
        if status == NOT_FOUND:
            return Unusable("qemu-storage-daemon cannot be started", "is it part of the stack?", words)
        return StorageDaemonDied(f"qemu-storage-daemon {how_ended(status)}: {words or '(it printed nothing)'}")

    def _next(self) -> Json:
        child = self._child
        assert child is not None
        assert child.stdout is not None
        while b"\n" not in self._received:
            stream, what = child.stdout.fileno(), "qemu-storage-daemon to answer"
            data = read_until(stream, b"\n", what, seconds=scaled(TIMEOUT), look=self._ailment)
            if not data:
                raise self._died()
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        message = json.loads(line)
        assert isinstance(message, dict)
        return message
