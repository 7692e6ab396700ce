"""What a disk of a domain looks like in its XML: its image, its backing chain, its mirror."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

from harness.errors import ChainproofError
from harness.oracle.image import Image, Store
from harness.storage.elements import image_source
from harness.storage.sources import disk_type, store_in
from harness.storage.stores import file_name


class NoSuchDisk(ChainproofError):
    """A domain has no disk with this target."""


def targets(xml: str) -> list[str]:
    """The targets of all disks, in order."""
    found = (disk.find("target") for disk in ElementTree.fromstring(xml).iterfind("devices/disk"))
    return [str(target.get("dev")) for target in found if target is not None]


def disk_element(xml: str, target: str) -> ElementTree.Element:
    """The <disk> with this target; raises NoSuchDisk if the domain has none."""
    return _disk(ElementTree.fromstring(xml), target)


def backing_chain(xml: str, target: str) -> list[Store]:
    """The disk's images as the XML has them: base first, the active layer last.

    Raises UnknownStore (harness.storage.stores) at the first one that is nothing chainproof knows.
    """
    return [store_in(layer) for layer in _layers(xml, target)][::-1]


def indices(xml: str, target: str) -> dict[str, str]:
    """The numbers of the disk's images in the live XML, by what libvirt's calls name them with: their paths."""
    found: dict[str, str] = {}
    for layer in _layers(xml, target):
        numbered = layer if layer.tag == "backingStore" else layer.find("source")
        found[file_name(store_in(layer))] = "" if numbered is None else numbered.get("index", "")
    return found


def alias_of(xml: str, target: str) -> str:
    """What libvirt's events call the disk's device, by the live XML."""
    alias = disk_element(xml, target).find("alias")
    return "" if alias is None else alias.get("name", "")


def has_mirror(xml: str, target: str) -> bool:
    """True if the disk is being mirrored: an active commit or a copy is on."""
    return disk_element(xml, target).find("mirror") is not None


def is_terminated(xml: str, target: str) -> bool:
    """True if the disk's chain ends in an empty <backingStore/>: libvirt knows that there is no further image.

    Without it libvirt would look for one when the domain starts (formatdomain.html, backingStore).
    """
    layer, last = disk_element(xml, target).find("backingStore"), None
    while layer is not None:
        layer, last = layer.find("backingStore"), layer
    return last is not None and len(last) == 0 and not last.attrib


def has_only_image(xml: str, target: str, image: Image) -> bool:
    """True if the XML names `image` for the disk and no other, and leaves it to libvirt to find what is below it."""
    return backing_chain(xml, target) == [image.store] and not is_terminated(xml, target)


def with_source(xml: str, target: str, image: Image) -> str:
    """Domain XML as libvirt gave it, with another image for disk `target`, whose chain libvirt is to find by itself."""
    root = ElementTree.fromstring(xml)
    disk = _disk(root, target)
    for name in ("source", "backingStore"):
        for old in disk.findall(name):
            disk.remove(old)
    disk.set("type", disk_type(image.store))
    disk.append(image_source(image.store, image.format.secret))
    return ElementTree.tostring(root, encoding="unicode")


def driver_of(xml: str, target: str) -> dict[str, str]:
    """The attributes of the <driver> of disk `target`; none if it has no such element."""
    driver = disk_element(xml, target).find("driver")
    return {} if driver is None else dict(driver.attrib)


def with_driver(xml: str, target: str, attributes: Mapping[str, str]) -> str:
    """Domain XML with these attributes of the <driver> of disk `target`; "" leaves one out."""
    root = ElementTree.fromstring(xml)
    disk = _disk(root, target)
    driver = disk.find("driver")
    if driver is None:
        driver = ElementTree.SubElement(disk, "driver")
    for name, value in attributes.items():
        if value:
            driver.set(name, value)
        else:
            driver.attrib.pop(name, None)
    return ElementTree.tostring(root, encoding="unicode")


def _layers(xml: str, target: str) -> Iterator[ElementTree.Element]:
    """The elements of the disk's images, the active layer's first, without the terminator."""
    layer: ElementTree.Element | None = disk_element(xml, target)
    while layer is not None and (len(layer) or layer.attrib):
        yield layer
        layer = layer.find("backingStore")


def _disk(root: ElementTree.Element, target: str) -> ElementTree.Element:
    for disk in root.iterfind("devices/disk"):
        found = disk.find("target")
        if found is not None and found.get("dev") == target:
            return disk
    raise NoSuchDisk(f"the domain has no disk {target}")
