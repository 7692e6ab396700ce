"""The second reader: images as QEMU itself reads them, over NBD from a storage daemon that stays up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Protocol

import nbd

from harness.errors import ImageError, QmpError
from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.image import File, Image
from harness.oracle.table import Row
from harness.readers.extents import Extent, Kind, merged
from harness.readers.own import Reader
from harness.readers.rows import Measured, only, row_of
from harness.storage.formats import node
from harness.storage.stores import Node, file_name, path_of, protocol_node, store_printed
from harness.waiting import watchdog

TIMEOUT = 60.0
_ALLOCATION, _DEPTH = "base:allocation", "qemu:allocation-depth"
_ZERO = 2  # the flag of base:allocation that says "reads as zeros" (the NBD protocol's NBD_STATE_ZERO)
_PIECE = 1 << 20

Flags = list[tuple[int, int]]
"""(length, value) of each stretch of an export, in order."""


@dataclass(frozen=True)
class Header:
    """What QEMU reads in an image's header: the size of the virtual disk, the backing file and its format."""

    size: int
    backing: str | None
    backing_format: str | None


class Storage(Protocol):
    """What is needed of a storage daemon (harness.stack.storage_daemon)."""

    @property
    def socket(self) -> Path:
        """Its NBD server's socket."""

    def execute(self, commands: Sequence[tuple[str, Mapping[str, object]]]) -> list[object]:
        """What each QMP command returns."""

    def wait_event(self, name: str, count: int) -> None:
        """Wait for events, and forget all so far."""

    def require_alive(self) -> None:
        """Raise an error that says how it has ended, if it has."""

    def close(self) -> None:
        """End it."""


class NbdReader:
    """Reads images with `storage`; `headers` tells of the path in an image's header, which QEMU must confirm.

    QEMU is told of files that the own reader has found among the images, and of no other: it follows no header itself.
    The images are opened without locks, anew for each call: while an active commit runs, QEMU refuses the layers
    between base and active to every other reader, --force-share or not. An image's name is no name of a node: nodes and
    exports are numbered.
    """

    def __init__(self, storage: Storage, headers: Reader) -> None:
        self._storage = storage
        self._headers = headers

    def measure(
        self, images: Sequence[Image], geometry: Geometry, run: str, expected: Content | None = None
    ) -> tuple[Row, ...]:
        """A row for each image, as `Reader.measure` makes them, by other means; the images may be in use.

        Every file of a chain that is to be shown must be among `images`. What lies past the cells of `geometry` is left
        to the own reader: QEMU tells of holes in pieces of 4 GiB at most.
        """
        by_name = {image.name: image for image in images}
        paths = {name: self._headers.backing(image) for name, image in by_name.items()}
        backings = {name: self._headers.name_of(path, images) for name, path in paths.items()}
        below = {name: backing if backing in by_name else None for name, backing in backings.items()}
        shown = {n for n in by_name if expected is None or n not in expected.layers or expected.readable(n)}
        order = list(_lowest_first(below))
        nodes = {name: f"image{number}" for number, name in enumerate(order)}
        try:
            found = self._open(order, by_name, {name: below[name] if name in shown else None for name in order}, nodes)
            rows = {}
            for name in order:
                header = found[nodes[name]]
                self._confirm(by_name[name], header, paths[name])
                measured = self._measured(by_name[name], nodes[name], backings[name], header, geometry.size)
                rows[name] = row_of(measured if name in shown else replace(measured, shows=None), geometry, run)
        except BaseException:
            self._storage.close()  # with whatever it has open; the next call starts it anew
            raise
        self._close([nodes[name] for name in order])
        return tuple(rows[name] for name in by_name)

    def _confirm(self, image: Image, header: Header, path: PurePosixPath | None) -> None:
        """Raise ImageError unless QEMU reads the same backing file in a header as we do."""
        seen = header.backing
        if (seen is None) != (path is None) or (seen and path and not self._same(seen, path)):
            raise ImageError(file_name(image.store), f"QEMU reads backing file {seen}, we read {path}")

    def _same(self, seen: str, path: PurePosixPath) -> bool:
        other = path_of(store_printed(seen))
        return other is not None and self._headers.same_file(other, path)

    def _open(
        self,
        order: Sequence[str],
        images: Mapping[str, Image],
        below: Mapping[str, str | None],
        nodes: Mapping[str, str],
    ) -> dict[str, Header]:
        """Open and export the images as their nodes; what QEMU reads in each header, by node."""
        for name in order:
            image, backing = images[name], below[name]
            spec = node(
                image.format,
                protocol_node(image.store, locking=False),
                nodes[backing] if backing is not None else None,
                self._data_node(image),
            )
            export = {"type": "nbd", "id": nodes[name], "node-name": nodes[name], "name": nodes[name]}
            commands: list[tuple[str, Mapping[str, object]]] = [
                ("blockdev-add", {**spec, "node-name": nodes[name], "read-only": True}),
                ("block-export-add", {**export, "allocation-depth": True}),
            ]
            try:
                self._storage.execute(commands)
            except QmpError as error:
                raise ImageError(file_name(image.store), f"QEMU does not open it: {error}") from error
        return _headers(self._storage.execute([("query-named-block-nodes", {"flat": True})])[-1])

    def _data_node(self, image: Image) -> Node | None:
        """The node of the image's external data file: QEMU would open it by itself, with locks, wherever it is.

        Raises ImageError unless all of the image's files are regular ones among the images.
        """
        if not isinstance(image.store, File):
            return None
        _, *data = self._headers.files(image)
        return protocol_node(File(data[0]), locking=False) if data else None

    def _measured(self, image: Image, export: str, backing: str | None, header: Header, window: int) -> Measured:
        file = file_name(image.store)
        data, allocation, depth = self._read(export, file, window)
        extents = merged(_own(allocation, depth, file))
        own = only(Kind.DATA, extents, data)
        vacant = list(_vacant(depth))
        return Measured(image.name, own, extents, data, vacant, backing, header.size, header.backing_format)

    def _read(self, export: str, file: str, window: int) -> tuple[bytes, Flags, Flags]:
        """The first `window` bytes of the export of an image, and its extents by both of QEMU's contexts."""
        with watchdog(f"qemu-storage-daemon to read {file}", TIMEOUT, self._storage.close):
            handle = nbd.NBD()
            for context in (_ALLOCATION, _DEPTH):
                handle.add_meta_context(context)
            handle.set_export_name(export)
            try:
                handle.connect_unix(str(self._storage.socket))
                size = min(handle.get_size(), window)
                data = b"".join(bytes(handle.pread(min(_PIECE, size - at), at)) for at in range(0, size, _PIECE))
                flags = _status(handle, size)
                handle.shutdown()
            except nbd.Error as error:
                self._storage.require_alive()
                raise ImageError(file, f"QEMU cannot read it: {error}") from error
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
        # an answer may cover less of a context than the request, and less than that of the other one
        covered = min(size - at, *(sum(length for length, _ in flags) for flags in answer.values()))
        for context, flags in answer.items():
            left = covered
            for length, value in flags:
                contexts[context].append((min(length, left), value))
                left -= min(length, left)
        at += covered
    return contexts


def _own(allocation: Flags, depth: Flags, image: str) -> Iterator[Extent]:
    """What the image itself holds: depth 1 is its own, of which the other context says whether it is zeros."""
    ends = sorted({end for flags in (allocation, depth) for end in accumulate(length for length, _ in flags)})
    at = 0
    for end in ends:
        if end == at:
            continue
        kind = Kind.HOLE
        if _at(depth, at, image) == 1:
            kind = Kind.ZERO if _at(allocation, at, image) & _ZERO else Kind.DATA
        yield Extent(at, end - at, kind)
        at = end


def _at(flags: Flags, offset: int, image: str) -> int:
    """The value of the stretch that holds byte `offset`."""
    end = 0
    for length, value in flags:
        end += length
        if offset < end:
            return value
    raise ImageError(image, f"QEMU says nothing of byte {offset}")


def _vacant(depth: Flags) -> Iterator[Extent]:
    """Where no image of the chain holds anything: depth 0."""
    at = 0
    for length, value in depth:
        if value == 0:
            yield Extent(at, length, Kind.HOLE)
        at += length


def _headers(nodes: object) -> dict[str, Header]:
    """What QEMU reads in each node's header, by node."""
    assert isinstance(nodes, list)
    headers = {}
    for each in nodes:
        image = each["image"]
        backing = image.get("full-backing-filename") or image.get("backing-filename")
        form = image.get("backing-filename-format")
        headers[str(each["node-name"])] = Header(int(image["virtual-size"]), backing, form)
    return headers
