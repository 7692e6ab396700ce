"""How libvirt spells a store: the `type` of a <disk>, <backingStore> or <mirror>, and the <source> in it.

https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal
from xml.etree import ElementTree

from harness.oracle.image import Block, File, Nbd, Store
from harness.storage.stores import UnknownStore

DiskType = Literal["file", "block", "network"]


def disk_type(store: Store) -> DiskType:
    """The `type` attribute of the element that has the store's <source>."""
    match store:
        case Nbd():
            return "network"
        case Block():
            return "block"
        case _:
            return "file"


def source_element(store: Store) -> ElementTree.Element:
    """The <source> of a store; a child of an element of `disk_type`."""
    match store:
        case Nbd(socket, export):
            source = ElementTree.Element("source", {"protocol": "nbd", "name": export})
            ElementTree.SubElement(source, "host", {"transport": "unix", "socket": str(socket)})
            return source
        case Block(path):
            return ElementTree.Element("source", {"dev": str(path)})
        case _:
            return ElementTree.Element("source", {"file": str(store.path)})


def store_in(element: ElementTree.Element) -> Store:
    """The store of a <disk>, <backingStore> or <mirror>, by its type and its <source>.

    What qemu-storage-daemon exports as a file is a File to libvirt. Raises UnknownStore.
    """
    source = element.find("source")
    if source is not None:
        host = source.find("host")
        match element.get("type"):
            case "file" if path := source.get("file"):
                return File(PurePosixPath(path))
            case "block" if path := source.get("dev"):
                return Block(PurePosixPath(path))
            case "network" if source.get("protocol") == "nbd" and host is not None:
                if host.get("transport") == "unix" and (socket := host.get("socket")):
                    return Nbd(PurePosixPath(socket), source.get("name", ""))
    raise UnknownStore(ElementTree.tostring(element, encoding="unicode").strip(), f"the <{element.tag}>")
