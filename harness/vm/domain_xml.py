"""The domain XML of a throwaway VM, and what a chain looks like in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

DomainType = Literal["qemu", "kvm"]
ROOT_ON_VDA = "chainproof.root=vda"
# quiet, and without the crypto self-tests and the calibration of a timer: a third of the boot under TCG
COMMAND_LINE = "console=ttyS0 quiet cryptomgr.notests noapictimer panic=-1"

_TEMPLATE = """\
<domain type='{type}'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>{iothreads}
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{guest}/{kernel}</kernel>
    <initrd>{guest}/initrd</initrd>
    <cmdline>{command_line}</cmdline>
  </os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>{emulator}</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='{format}' cache='none' discard='unmap'{iothread}/>
      <source file={source}/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <controller type='usb' model='none'/>
    <serial type='file'>
      <source path={console}/>
      <target port='0'/>
    </serial>
    <channel type='unix'>
      <target type='virtio' name='org.qemu.guest_agent.0'/>
    </channel>
    <channel type='unix'>
      <source mode='bind' path={port}/>
      <target type='virtio' name='org.chainproof.disk.0'/>
    </channel>
    <memballoon model='none'/>
  </devices>
</domain>
"""


@dataclass(frozen=True)
class Machine:
    """What a domain is made of, apart from its disk: `guest` is where `kernel` and the initrd lie in the sandbox."""

    emulator: str
    type: DomainType
    guest: PurePosixPath
    memory_mib: int = 128
    root_on_vda: bool = False
    iothread: bool = False  # whether vda has a thread of its own in QEMU
    command_line: str = COMMAND_LINE
    kernel: str = "vmlinux"


def domain_xml(
    name: str, machine: Machine, source: PurePosixPath, directory: PurePosixPath, image_format: str = "qcow2"
) -> str:
    """The XML to define domain `name` with: its disk vda is the image `source`.

    In `directory` lie what its guest prints on the serial console (`name`.console) and the socket of its disk server
    (`name`.disk).
    """
    command_line = f"{machine.command_line} {ROOT_ON_VDA}" if machine.root_on_vda else machine.command_line
    return _TEMPLATE.format(
        type=machine.type,
        name=name,
        uuid=uuid.uuid5(uuid.NAMESPACE_DNS, name),  # the same in every run: saved guests are restored under it
        memory=machine.memory_mib,
        guest=machine.guest,
        kernel=machine.kernel,
        command_line=command_line,
        iothreads="<iothreads>1</iothreads>" if machine.iothread else "",
        iothread=" iothread='1'" if machine.iothread else "",
        emulator=machine.emulator,
        format=image_format,
        source=quoteattr(str(source)),
        console=quoteattr(str(directory / f"{name}.console")),
        port=quoteattr(str(directory / f"{name}.disk")),
    )


def with_source(xml: str, target: str, source: PurePosixPath) -> str:
    """Domain XML as libvirt gave it, with another image for disk `target`, whose chain libvirt is to find by itself."""
    root = ElementTree.fromstring(xml)
    for disk in root.iterfind("devices/disk"):
        found, image = disk.find("target"), disk.find("source")
        if found is not None and found.get("dev") == target and image is not None:
            image.set("file", str(source))
            for backing in disk.findall("backingStore"):
                disk.remove(backing)
    return ElementTree.tostring(root, encoding="unicode")


def disk_element(xml: str, target: str) -> ElementTree.Element:
    """The <disk> with this target; raises ValueError if the domain has none."""
    for disk in ElementTree.fromstring(xml).iterfind("devices/disk"):
        found = disk.find("target")
        if found is not None and found.get("dev") == target:
            return disk
    raise ValueError(f"the domain has no disk {target}")


def backing_chain(xml: str, target: str) -> list[PurePosixPath]:
    """The paths of the disk's images as the XML has them: base first, the active layer last."""
    return list(_sources(disk_element(xml, target)))[::-1]


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


def _sources(layer: ElementTree.Element | None) -> Iterator[PurePosixPath]:
    while layer is not None:
        source = layer.find("source")
        path = None if source is None else source.get("file")
        if path is None:
            return
        yield PurePosixPath(path)
        layer = layer.find("backingStore")
