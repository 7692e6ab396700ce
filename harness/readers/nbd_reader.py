"""The second reader: images as QEMU itself reads them, over NBD from a storage daemon that stays up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Protocol

import nbd

from harness.errors import ImageError
from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.table import Row
from harness.readers.extents import Extent, Kind, merged
from harness.readers.rows import Measured, backing_name, only, row_of
from harness.waiting import watchdog

TIMEOUT = 60.0
_ALLOCATION, _DEPTH = "base:allocation", "qemu:allocation-depth"
_ZERO = 2  # the flag of base:allocation that says "reads as zeros" (the NBD protocol's NBD_STATE_ZERO)
_PIECE = 1 << 20

Flags = list[tuple[int, int]]
"""(length, value) of each stretch of an export, in order."""


class Storage(Protocol):
    """What is needed of a storage daemon (harness.stack.storage_daemon)."""

    @property
    def socket(self) -> Path:
        """Its NBD server's socket."""

    def execute(self, commands: Sequence[tuple[str, Mapping[str, object]]]) -> list[object]:
        """What each QMP command returns."""

    def wait_event(self, name: str, count: int) -> None:
        """Wait for events, and forget all so far."""

    def close(self) -> None:
        """End it."""


class NbdReader:
    """Reads images with `storage`; `backing_of` tells the path in an image's header, which QEMU must confirm.

    The images are opened without locks, anew for each call: while an active commit runs, QEMU refuses the layers
    between base and active to every other reader, --force-share or not.
    """

    def __init__(self, storage: Storage, backing_of: Callable[[PurePosixPath], PurePosixPath | None]) -> None:
        self._storage = storage
        self._backing_of = backing_of

    def measure(
        self, paths: Mapping[str, PurePosixPath], geometry: Geometry, run: str, expected: Content | None = None
    ) -> tuple[Row, ...]:
        """A row for each image, as `Reader.measure` makes them, by other means; the images may be in use.

        Every file of a chain that is to be shown must be among `paths`. What lies past the cells of `geometry` is left
        to the own reader: QEMU tells of holes in pieces of 4 GiB at most.
        """
        names = {path: name for name, path in paths.items()}
        backings = {name: self._backing_of(path) for name, path in paths.items()}
        below = {name: names.get(backing) if backing else None for name, backing in backings.items()}
        shown = {n for n in paths if expected is None or n not in expected.layers or expected.readable(n)}
        order = list(_lowest_first(below))
        try:
            confirmed = self._open(order, paths, {name: below[name] if name in shown else None for name in order})
            rows = {}
            for name in order:
                backing = backings[name]
                if confirmed[name] != (None if backing is None else str(backing)):
                    raise ImageError(str(paths[name]), f"QEMU reads backing file {confirmed[name]}, we read {backing}")
                measured = self._measured(name, backing_name(backing, names), name in shown, geometry.size)
                rows[name] = row_of(measured, geometry, run)
        except BaseException:
            self._storage.close()  # with whatever it has open; the next call starts it anew
            raise
        self._close(order)
        return tuple(rows[name] for name in paths)

    def _open(
        self, order: Sequence[str], paths: Mapping[str, PurePosixPath], below: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        """Open and export the images under their names; the backing file in each header, as QEMU reads it."""
        commands: list[tuple[str, Mapping[str, object]]] = []
        for name in order:
            file = {"driver": "file", "filename": str(paths[name]), "locking": "off"}
            node = {"driver": "qcow2", "node-name": name, "read-only": True, "file": file, "backing": below[name]}
            export = {"type": "nbd", "id": name, "node-name": name, "name": name, "allocation-depth": True}
            commands += [("blockdev-add", node), ("block-export-add", export)]
        return _headers(self._storage.execute([*commands, ("query-named-block-nodes", {"flat": True})])[-1])

    def _measured(self, name: str, backing: str | None, shown: bool, window: int) -> Measured:
        data, allocation, depth = self._read(name, window)
        extents = merged(_own(allocation, depth))
        own = only(Kind.DATA, extents, data)
        return Measured(name, own, extents, data if shown else None, list(_vacant(depth)), backing)

    def _read(self, name: str, window: int) -> tuple[bytes, Flags, Flags]:
        """The first `window` bytes of an export, and its extents by both of QEMU's contexts."""
        with watchdog(f"qemu-storage-daemon to read {name}", TIMEOUT, self._storage.close):
            handle = nbd.NBD()
            for context in (_ALLOCATION, _DEPTH):
                handle.add_meta_context(context)
            handle.set_export_name(name)
            try:
                handle.connect_unix(str(self._storage.socket))
                size = min(handle.get_size(), window)
                data = b"".join(bytes(handle.pread(min(_PIECE, size - at), at)) for at in range(0, size, _PIECE))
                flags = _status(handle, size)
                handle.shutdown()
            except nbd.Error as error:
                raise ImageError(name, f"QEMU cannot read it: {error}") from error
        return data, flags[_ALLOCATION], flags[_DEPTH]

    def _close(self, nodes: Sequence[str]) -> None:
        """Forget the images: an export that had a client is gone only when its event has come."""
        self._storage.execute([("block-export-del", {"id": name, "mode": "hard"}) for name in nodes])
        self._storage.wait_event("BLOCK_EXPORT_DELETED", len(nodes))
        self._storage.execute([("blockdev-del", {"node-name": name}) for name in reversed(nodes)])


def _lowest_first(below: Mapping[str, str | None]) -> Iterator[str]:
    """The images in an order in which each comes after its backing file."""
    done: set[str] = set()

    def visit(name: str) -> Iterator[str]:
        if name not in done:
            done.add(name)
            backing = below[name]
            if backing is not None:
                yield from visit(backing)
            yield name

    for name in below:
        yield from visit(name)


def _status(handle: nbd.NBD, size: int) -> dict[str, Flags]:
    """(length, flags) of each stretch of an export, in order, by context."""
    contexts: dict[str, Flags] = {_ALLOCATION: [], _DEPTH: []}
    at = 0
    while at < size:
        answer: dict[str, Flags] = {context: [] for context in contexts}

        def add(answer: dict[str, Flags], context: str, _at: int, entries: Sequence[int], _error: object) -> int:
            answer[context] += zip(entries[::2], entries[1::2], strict=True)
            return 0

        handle.block_status(size - at, at, partial(add, answer))
        # a context may be answered for less than was asked, and for less than the other one
        covered = min(size - at, *(sum(length for length, _ in flags) for flags in answer.values()))
        for context, flags in answer.items():
            left = covered
            for length, value in flags:
                contexts[context].append((min(length, left), value))
                left -= min(length, left)
        at += covered
    return contexts


def _own(allocation: Flags, depth: Flags) -> Iterator[Extent]:
    """What the image itself holds: depth 1 is its own, of which the other context says whether it is zeros."""
    ends = sorted({end for flags in (allocation, depth) for end in accumulate(length for length, _ in flags)})
    at = 0
    for end in ends:
        if end == at:
            continue
        kind = Kind.HOLE
        if _at(depth, at) == 1:
            kind = Kind.ZERO if _at(allocation, at) & _ZERO else Kind.DATA
        yield Extent(at, end - at, kind)
        at = end


def _at(flags: Flags, offset: int) -> int:
    """The value of the stretch that holds byte `offset`."""
    end = 0
    for length, value in flags:
        end += length
        if offset < end:
            return value
    raise ImageError("export", f"QEMU says nothing of byte {offset}")


def _vacant(depth: Flags) -> Iterator[Extent]:
    """Where no image of the chain holds anything: depth 0."""
    at = 0
    for length, value in depth:
        if value == 0:
            yield Extent(at, length, Kind.HOLE)
        at += length


def _headers(nodes: object) -> dict[str, str | None]:
    """The backing file in each node's header, as QEMU reads it."""
    assert isinstance(nodes, list)
    headers = {}
    for node in nodes:
        image = node["image"]
        headers[str(node["node-name"])] = image.get("full-backing-filename") or image.get("backing-filename")
    return headers
