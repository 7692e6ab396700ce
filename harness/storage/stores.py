"""How QEMU spells a store: a node's options, a file name to type, the name that it prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath
from typing import TypeVar
from urllib.parse import quote, unquote

from harness.errors import ChainproofError
from harness.oracle.image import Block, File, Nbd, Store

Node = Mapping[str, object]
"""The options of a node of QEMU's block layer (QAPI BlockdevOptions)."""

_NBD_URI = "nbd+unix:///"
_SOCKET = "?socket="
_FORMATS = ("qcow2", "raw", "luks")


_Path = TypeVar("_Path", bound=PurePath)


class UnknownStore(ChainproofError):
    """A file name or a <source> that names no store that chainproof knows."""

    def __init__(self, seen: str, where: str) -> None:
        self.seen = seen
        self.where = where
        super().__init__(f"{where} names a store that is not known: {seen}")


def protocol_node(store: Store, *, locking: bool = True) -> Node:
    """The options of the node that reads and writes the store's bytes.

    Without `locking` QEMU takes no locks on the file, so that a reader can look at an image that is in use.
    """
    unlocked = {} if locking else {"locking": "off"}
    match store:
        case Nbd(socket, export):
            return {"driver": "nbd", "server": {"type": "unix", "path": str(socket)}, "export": export}
        case Block(path):
            return {"driver": "host_device", "filename": str(path), **unlocked}
        case _:
            return {"driver": "file", "filename": str(store.path), **unlocked}


def file_name(store: Store) -> str:
    """What qemu-img, qemu-io and a backing file's name in a header call the store (QEMU block/nbd.c for the URI)."""
    if isinstance(store, Nbd):
        return f"{_NBD_URI}{quote(store.export, safe='')}{_SOCKET}{quote(str(store.socket))}"
    return str(store.path)


def printed(store: Store) -> str:
    """What QEMU calls the store in its answers: query-named-block-nodes `file`, qemu-img info `filename`."""
    if isinstance(store, Nbd):  # without the escapes of a URI (QEMU block/nbd.c, nbd_refresh_filename)
        return f"{_NBD_URI}{store.export}{_SOCKET}{store.socket}"
    return str(store.path)


def path_of(store: Store) -> PurePosixPath | None:
    """Where a reader of ours can open the store, as the stack sees it; None where only an NBD client can.

    A Fuse store is mounted in the sandbox alone: outside, its path names the empty file beneath the mount.
    """
    return store.path


def beneath(device: _Path) -> _Path:
    """The file that a block device of a trial is of: what the device shows, and where it holds nothing."""
    return device.with_name(f"{device.name}.loop")


def store_printed(text: str) -> Store:
    """The store that QEMU's answer `text` names; the inverse of `printed`, and of a `json:` that QEMU makes up.

    A path alone does not tell a file from a block device: it becomes a File. Compare with `same_place`.
    Raises UnknownStore.
    """
    if text.startswith(_NBD_URI):
        export, found, socket = text.removeprefix(_NBD_URI).rpartition(_SOCKET)
        if found:
            return Nbd(PurePosixPath(socket), export)
    return _by_name(text, "QEMU's answer")


def store_named(text: str, image: PurePosixPath) -> Store:
    """The store that the header of `image` names as `text`; a relative name counts from the directory of `image`.

    Raises UnknownStore.
    """
    if text.startswith(_NBD_URI):
        export, found, socket = text.removeprefix(_NBD_URI).rpartition(_SOCKET)
        if found:
            return Nbd(PurePosixPath(unquote(socket)), unquote(export))
    store = _by_name(text, f"the header of {image}")
    return File(image.parent / store.path) if isinstance(store, File) else store


def place(store: Store) -> tuple[str, str]:
    """Where the bytes lie, however they are opened: equal for a path as File, as Block and as Fuse."""
    return ("nbd", printed(store)) if isinstance(store, Nbd) else ("path", str(store.path))


def same_place(one: Store, other: Store) -> bool:
    """Whether two stores are the same place by their names; links are not followed."""
    return place(one) == place(other)


def _by_name(text: str, where: str) -> Store:
    """The store of a name that is no nbd+unix URI: `json:`, `nbd:unix:`, `file:`, or a path."""
    if text.startswith("json:"):
        try:
            options = json.loads(text.removeprefix("json:"))
        except ValueError:
            raise UnknownStore(text, where) from None
        return _by_node(options, text, where)
    if text.startswith("nbd:unix:"):
        socket, found, export = text.removeprefix("nbd:unix:").rpartition(":exportname=")
        return Nbd(PurePosixPath(socket), export) if found else Nbd(PurePosixPath(export), "")
    path = text.removeprefix("file:")
    if not path or ":" in path.split("/", 1)[0]:  # QEMU block.c, path_has_protocol
        raise UnknownStore(text, where)
    return File(PurePosixPath(path))


def _by_node(options: object, text: str, where: str) -> Store:
    """The store at the bottom of a node's options, nested or with dots in their names."""
    if isinstance(options, Mapping):
        driver = options.get("driver")
        below = options.get("file")
        if below is None:
            dotted = {name.removeprefix("file."): value for name, value in options.items() if name.startswith("file.")}
            below = dotted or None
        if driver in (*_FORMATS, None) and below is not None:
            return _by_node(below, text, where)
        server = options.get("server")
        server = server if isinstance(server, Mapping) else {}
        path = options.get("server.path", server.get("path", options.get("path")))
        match driver, options.get("filename"), path:
            case ("file", str(name), _):
                return File(PurePosixPath(name))
            case ("host_device", str(name), _):
                return Block(PurePosixPath(name))
            case ("nbd", _, str(socket)):
                return Nbd(PurePosixPath(socket), str(options.get("export", "")))
    raise UnknownStore(text, where)
