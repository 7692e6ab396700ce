"""What a server has under the name of an export: its bytes, and which of them it says were written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import nbd

from harness.errors import ImageError
from harness.waiting import watchdog

T = TypeVar("T")

TIMEOUT = 60.0
_PIECE = 1 << 20
_DIRTY = 1  # of qemu:dirty-bitmap (QEMU docs/interop/nbd.rst)


@dataclass(frozen=True)
class Export:
    """An export as a client has read it: its bytes, and the stretches of them (offset, length) that are dirty."""

    data: bytes
    dirty: tuple[tuple[int, int], ...] = ()


def read_export(
    socket: Path, name: str, give_up: Callable[[], None], bitmap: str = "", authority: Path | None = None
) -> Export:
    """Read an export whole, and with the name of a `bitmap` what that says. Raises ImageError.

    `give_up` ends the server, if that does not answer in time. With `authority`, a directory with the certificate of
    one, the server must encrypt; libnbd does not look at the name of one on a unix socket.
    """
    context = f"qemu:dirty-bitmap:{bitmap}" if bitmap else ""
    handle = nbd.NBD()
    with watchdog(f"the export {name}", TIMEOUT, give_up):
        try:
            handle.set_export_name(name)
            if authority is not None:
                handle.set_tls(nbd.TLS_REQUIRE)
                handle.set_tls_certificates(str(authority))
            if context:
                handle.add_meta_context(context)
            handle.connect_unix(str(socket))
            if context and not handle.can_meta_context(context):
                raise ImageError(name, f"is served without the bitmap {bitmap}")
            size = handle.get_size()
            data = b"".join(bytes(handle.pread(min(_PIECE, size - at), at)) for at in range(0, size, _PIECE))
            dirty = tuple(_dirty(handle, size)) if context else ()
            handle.shutdown()
        except nbd.Error as error:
            raise ImageError(name, f"cannot be read from its server: {error}") from None
    return Export(data, dirty)


class SlowClient:
    """A client that reads an export piece by piece, and takes its time. As a context it leaves at the end.

    Every method raises ImageError; `give_up` ends the server, if that does not answer in time.
    """

    def __init__(self, socket: Path, name: str, give_up: Callable[[], None]) -> None:
        self._name = name
        self._give_up = give_up
        self._handle = nbd.NBD()
        self._handle.set_export_name(name)
        self._call("connects", lambda: self._handle.connect_unix(str(socket)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._call("leaves", self._handle.shutdown)

    def size(self) -> int:
        """That of the export, in bytes."""
        return int(self._handle.get_size())

    def read(self, offset: int, length: int) -> bytes:
        """Some bytes of it."""
        return bytes(self._call("reads", lambda: self._handle.pread(length, offset)))

    def _call(self, what: str, call: Callable[[], T]) -> T:
        with watchdog(f"the export {self._name}", TIMEOUT, self._give_up):
            try:
                return call()
            except nbd.Error as error:
                raise ImageError(self._name, f"a client that {what} gets: {error}") from None


def _dirty(handle: nbd.NBD, size: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    at = 0
    while at < size:
        answer: list[tuple[int, int]] = []

        def add(answer: list[tuple[int, int]], _context: str, _at: int, entries: Sequence[int], _error: object) -> int:
            answer += zip(entries[::2], entries[1::2], strict=True)
            return 0

        handle.block_status(size - at, at, partial(add, answer))
        for length, value in answer:
            if value & _DIRTY:
                found.append((at, min(length, size - at)))
            at += length
    return found
