"""How libvirt spells a disk of an image: in a domain, a snapshot, a copy, a backup."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from harness.oracle.image import Format, Image, Raw, Store
from harness.oracle.secret import uuid_of
from harness.storage.sources import disk_type, source_element


def domain_disk(target: str, image: Image, bus: str, driver: str, more: str = "") -> str:
    """The <disk> of a domain; `driver` are attributes of its driver, `more` are other elements in it."""
    return f"""\
    <disk type='{disk_type(image.store)}' device='disk'>
      <driver name='qemu' type='{_type(image.format)}' {driver}/>
      {_source(image.store, image.format)}
      <target dev={quoteattr(target)} bus={quoteattr(bus)}/>{more}
    </disk>"""


def snapshot_disk(target: str, overlay: Store, image_format: Format) -> str:
    """The <disk> of an external snapshot, whose overlay lies in a store."""
    kind, source = disk_type(overlay), _source(overlay, image_format)
    return f"<disk name={quoteattr(target)} snapshot='external' type='{kind}'>{source}</disk>"


def copy_disk(dest: Store, image_format: Format) -> str:
    """The <disk> that a copy goes to."""
    return f"<disk type='{disk_type(dest)}'>{_source(dest, image_format)}<driver type='{_type(image_format)}'/></disk>"


def scratch_disk(target: str, scratch: Store, secret: str) -> str:
    """The <disk> of a backup in pull mode; libvirt makes the scratch file, encrypted or not, and removes it."""
    return _backup_disk(target, scratch, "scratch", "", secret)


def backup_target(target: str, dest: Store, image_format: Format) -> str:
    """The <disk> of a backup in push mode, which goes to an image that libvirt makes."""
    return _backup_disk(target, dest, "target", f"<driver type='{_type(image_format)}'/>", image_format.secret)


def _backup_disk(target: str, store: Store, tag: str, driver: str, secret: str) -> str:
    source = image_source(store, secret)
    source.tag = tag
    element = driver + ElementTree.tostring(source, encoding="unicode")
    return f"<disk name={quoteattr(target)} backup='yes' type='{disk_type(store)}'>{element}</disk>"


def secret_xml(secret: str) -> str:
    """The <secret> that libvirt is to know a secret by; without its value."""
    usage = f"<usage type='volume'><volume>{secret}</volume></usage>"
    return f"<secret ephemeral='no' private='yes'><uuid>{uuid_of(secret)}</uuid>{usage}</secret>"


def _type(image_format: Format) -> str:
    """What libvirt calls a format: whether the image is encrypted, its source says."""
    return Raw().name if isinstance(image_format, Raw) else image_format.name


def _source(store: Store, image_format: Format) -> str:
    return ElementTree.tostring(image_source(store, image_format.secret), encoding="unicode")


def image_source(store: Store, secret: str) -> ElementTree.Element:
    """The <source> of a store; with a secret, of an image that is encrypted."""
    source = source_element(store)
    if secret:
        encryption = ElementTree.SubElement(source, "encryption", {"format": "luks"})
        ElementTree.SubElement(encryption, "secret", {"type": "passphrase", "uuid": uuid_of(secret)})
    return source
