"""The guest's disk server, over a virtio-serial port: markers and reads of its disks in a few milliseconds each."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from harness.errors import AgentError, WaitTimeout
from harness.oracle.geometry import Range
from harness.waiting import LOOK_SECONDS, NotYet, now, require_well, scaled, wait_until, well

T = TypeVar("T")

# what is answered by a guest that is up, with time for one that has just been restored and runs everything anew
TIMEOUT = 60.0
_LARGEST_LINE = 256


class DiskPort:
    """A connection to images/guest/disk-server.c (which says what each request is), through the socket file `path`.

    `ailment` says why no answer is to be expected, or nothing: then Ailing is raised.
    """

    def __init__(self, path: Path, ailment: Callable[[], str] = well) -> None:
        self._ailment = ailment
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._received = b""
        self._begun: list[str] = []

        def connect() -> None:
            try:
                self._socket.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError) as error:
                raise NotYet(str(error)) from error

        try:
            wait_until(f"QEMU to listen on {path.name}", connect, timeout=10, interval=0.002)
        except WaitTimeout:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def write(self, target: str, ranges: Iterable[Range], data: bytes, *, flush: bool = False) -> None:
        """Write `data` to ranges of bytes, in order; like each of these, raises AgentError if it cannot.

        With `flush` the disk is flushed after it, without another way to and fro.
        """
        self._do(f"write {target} {_words(ranges)}", target, data, flush=flush)

    def zero(self, target: str, ranges: Iterable[Range], *, flush: bool = False) -> None:
        """Write zeros by the device's own command."""
        self._do(f"zero {target} {_words(ranges)}", target, flush=flush)

    def discard(self, target: str, ranges: Iterable[Range], *, flush: bool = False) -> None:
        """Discard."""
        self._do(f"discard {target} {_words(ranges)}", target, flush=flush)

    def flush(self, target: str) -> None:
        """Flush the disk."""
        self._ask(f"flush {target}")

    def begin_write(self, target: str, ranges: Iterable[Range], data: bytes) -> None:
        """As `write`, without waiting for the answer: the next request waits for it first, as `end_write` does."""
        request = f"write {target} {_words(ranges)}"
        self._send(request, data)
        self._begun.append(request)

    def end_write(self) -> None:
        """Wait for the answers to all writes that were begun; raises AgentError if one failed."""
        while self._begun:
            self._answer(self._begun.pop(0))

    def read(self, target: str, length: int, offset: int = 0) -> bytes:
        """`length` bytes of the disk (whole sectors), as its device gives them now."""
        return self._ask(f"read {target} {offset} {length}")

    def size(self, target: str) -> int:
        """The disk's size in bytes, as the guest knows it."""
        request = f"size {target}"
        answer = self._ask(request)
        if not answer.isdigit():
            raise AgentError(f"disk server: {request}", f"that is no size: {answer!r}")
        return int(answer)

    def await_disk(self, target: str) -> None:
        """Wait until the guest has a disk: one that was plugged in, or one on a bus that is scanned while it boots."""

        def there() -> None:
            try:
                self.size(target)
            except AgentError as error:
                raise NotYet(str(error)) from error

        wait_until(f"the guest to have {target}", there, timeout=30, interval=0.01)

    def boot_id(self) -> str:
        """The kernel's random name of this boot."""
        return self._ask("boot").decode()

    def adjust(self, seconds: int) -> str:
        """Set the guest's clock to `seconds` since 1970 and feed its random number generator; returns the boot id."""
        return self._ask(f"adjust {seconds} {os.urandom(64).hex()}").decode()

    def _do(self, request: str, target: str, data: bytes = b"", *, flush: bool) -> None:
        self.end_write()
        self._send(request, data)
        if flush:
            self._send(f"flush {target}", b"")
        try:
            self._answer(request)
        finally:
            if flush:  # its answer comes in any case
                self._answer(f"flush {target}")

    def _ask(self, request: str, data: bytes = b"") -> bytes:
        self.end_write()
        self._send(request, data)
        return self._answer(request)

    def _send(self, request: str, data: bytes) -> None:
        rest = memoryview(f"{request}\n".encode() + data)
        what = f"QEMU to take: {request}"
        deadline = now() + scaled(TIMEOUT)
        try:
            while rest:
                sent = self._in_time(what, deadline, partial(self._socket.send, rest))
                rest = rest[sent:]
        except OSError as error:
            raise AgentError(f"disk server: {request}", f"the connection is gone: {error}") from error

    def _answer(self, request: str) -> bytes:
        what = f"the guest's disk server to answer: {request}"
        deadline = now() + scaled(TIMEOUT)
        try:
            line = self._line(what, deadline)
            verdict, _, count = line.partition(b" ")
            if verdict != b"ok":
                raise AgentError(f"disk server: {request}", line.decode(errors="replace"))
            return self._exactly(int(count or 0), what, deadline)
        except OSError as error:
            raise AgentError(f"disk server: {request}", f"the connection is gone: {error}") from error

    def _line(self, what: str, deadline: float) -> bytes:
        while b"\n" not in self._received:
            self._receive(what, deadline)
            if len(self._received) > _LARGEST_LINE and b"\n" not in self._received:
                raise AgentError(what, f"no line was answered: {self._received[:_LARGEST_LINE]!r}")
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _exactly(self, count: int, what: str, deadline: float) -> bytes:
        pieces = [self._received]
        have = len(self._received)
        while have < count:
            self._received = b""
            self._receive(what, deadline)
            pieces.append(self._received)
            have += len(self._received)
        data = b"".join(pieces)
        self._received = data[count:]
        return data[:count]

    def _receive(self, what: str, deadline: float) -> None:
        data = self._in_time(what, deadline, lambda: self._socket.recv(1 << 20))
        if not data:
            raise OSError("QEMU closed it")
        self._received += data

    def _in_time(self, what: str, deadline: float, transfer: Callable[[], T]) -> T:
        """What a transfer over the socket returns; now and then it looks whether it can be waited for."""
        while True:
            remaining = deadline - now()
            if remaining <= 0:
                raise WaitTimeout(what, scaled(TIMEOUT), repr(self._received[:_LARGEST_LINE]))
            self._socket.settimeout(min(remaining, LOOK_SECONDS))
            with suppress(TimeoutError):
                return transfer()
            require_well(what, self._ailment)


def _words(ranges: Iterable[Range]) -> str:
    return " ".join(f"{offset} {length}" for offset, length in ranges)
