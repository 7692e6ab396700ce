"""The domain XML of a throwaway VM."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Literal
from xml.sax.saxutils import quoteattr

from harness.oracle.driver import DRIVER, Driver
from harness.oracle.image import Image
from harness.storage.elements import domain_disk

DomainType = Literal["qemu", "kvm"]
ROOT_ON_VDA = "chainproof.root=vda"
# quiet, and without the crypto self-tests and the calibration of a timer: a third of the boot under TCG
COMMAND_LINE = "console=ttyS0 quiet cryptomgr.notests noapictimer panic=-1"

DISK_PORT = "channel1"
"""What QEMU calls the port of the guest's disk server: libvirt counts the channels."""

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
{disks}{scsi}
    <controller type='usb' model='{usb}'/>
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


_OTHERS = "sd"
_BUSES = {"vd": "virtio", _OTHERS: "scsi"}
_SCSI = "\n    <controller type='scsi' index='0' model='virtio-scsi'/>"


_THREADS = 2
"""As many at least: a disk that is not plugged in now has its own when it is."""


@dataclass(frozen=True)
class Machine:
    """What a domain is made of, apart from its disk: `guest` is where `kernel` and the initrd lie in the sandbox."""

    emulator: str
    type: DomainType
    guest: PurePosixPath
    memory_mib: int = 128
    root_on_vda: bool = False
    command_line: str = COMMAND_LINE
    kernel: str = "vmlinux"


@dataclass(frozen=True)
class DiskSpec:
    """A disk of a domain: its `target` in the guest, its active layer, and how QEMU serves it.

    With `iops` it may do so many operations a second.
    """

    target: str
    image: Image
    driver: Driver = DRIVER
    iops: int = 0


def domain_xml(name: str, machine: Machine, disks: Sequence[DiskSpec], directory: PurePosixPath) -> str:
    """The XML to define domain `name` with.

    In `directory` lie what its guest prints on the serial console (`name`.console) and the socket of its disk server
    (`name`.disk).
    """
    command_line = f"{machine.command_line} {ROOT_ON_VDA}" if machine.root_on_vda else machine.command_line
    threads = max((_number(disk) for disk in disks if disk.driver.iothread), default=0)
    threads = max(threads, _THREADS) if threads else 0
    return _TEMPLATE.format(
        type=machine.type,
        name=name,
        uuid=uuid.uuid5(uuid.NAMESPACE_DNS, name),  # the same in every run: saved guests are restored under it
        memory=machine.memory_mib,
        guest=machine.guest,
        kernel=machine.kernel,
        command_line=command_line,
        iothreads=f"<iothreads>{threads}</iothreads>" if threads else "",
        emulator=machine.emulator,
        disks="\n".join(map(disk_xml, disks)),
        scsi=_SCSI if any(bus(disk) == "scsi" for disk in disks) else "",
        usb="qemu-xhci" if any(bus(disk) == "usb" for disk in disks) else "none",
        console=quoteattr(str(directory / f"{name}.console")),
        port=quoteattr(str(directory / f"{name}.disk")),
    )


def disk_xml(disk: DiskSpec) -> str:
    """The XML of one of its disks; the disk in the third place of the alphabet has the third thread."""
    tune = f"<iotune><total_iops_sec>{disk.iops}</total_iops_sec></iotune>" if disk.iops else ""
    return domain_disk(disk.target, disk.image, bus(disk), _spelt(attributes(disk)), tune)


def bus(disk: DiskSpec) -> str:
    """The bus of a disk. Raises ValueError if the guest would not call it so."""
    target, named = disk.target, disk.driver.bus
    if target[:2] not in _BUSES or (named and target[:2] != _OTHERS):
        raise ValueError(f"no disk on {named or 'its bus'} can be called {target}: vdX are on virtio, sdX on others")
    return named or _BUSES[target[:2]]


def attributes(disk: DiskSpec) -> dict[str, str]:
    """The attributes of its <driver>, but for those of its format."""
    values = {**asdict(disk.driver), "bus": "", "iothread": _number(disk) if disk.driver.iothread else ""}
    return {name: str(value) for name, value in values.items() if value}


def _spelt(attributes: Mapping[str, str]) -> str:
    return " ".join(f"{name}='{value}'" for name, value in attributes.items())


def _number(disk: DiskSpec) -> int:
    return ord(disk.target[2]) - ord("a") + 1
