"""How libvirt spells a disk of an image: in a domain, a snapshot, a copy, a backup."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from harness.oracle.image import Format, Image, Store
from harness.storage.sources import disk_type, source_element


def domain_disk(target: str, image: Image, bus: str, driver: str, more: str = "") -> str:
    """The <disk> of a domain; `driver` are attributes of its driver, `more` are other elements in it."""
    return f"""\
    <disk type='{disk_type(image.store)}' device='disk'>
      <driver name='qemu' type='{image.format.name}' {driver}/>
      {_source(image.store)}
      <target dev={quoteattr(target)} bus={quoteattr(bus)}/>{more}
    </disk>"""


def snapshot_disk(target: str, overlay: Store) -> str:
    """The <disk> of an external snapshot, whose overlay lies in a store."""
    kind = disk_type(overlay)
    return f"<disk name={quoteattr(target)} snapshot='external' type='{kind}'>{_source(overlay)}</disk>"


def copy_disk(dest: Store, image_format: Format) -> str:
    """The <disk> that a copy goes to."""
    return f"<disk type='{disk_type(dest)}'>{_source(dest)}<driver type='{image_format.name}'/></disk>"


def scratch_disk(target: str, scratch: Store) -> str:
    """The <disk> of a backup in pull mode; libvirt makes the scratch file, and removes it."""
    return _backup_disk(target, scratch, "scratch", "")


def backup_target(target: str, dest: Store, image_format: Format) -> str:
    """The <disk> of a backup in push mode, which goes to an image that libvirt makes."""
    return _backup_disk(target, dest, "target", f"<driver type='{image_format.name}'/>")


def _backup_disk(target: str, store: Store, tag: str, driver: str) -> str:
    source = source_element(store)
    source.tag = tag
    element = driver + ElementTree.tostring(source, encoding="unicode")
    return f"<disk name={quoteattr(target)} backup='yes' type='{disk_type(store)}'>{element}</disk>"


def _source(store: Store) -> str:
    return ElementTree.tostring(source_element(store), encoding="unicode")
