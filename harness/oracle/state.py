"""What must be true now of everything: each VM with its disks, the daemon, and the files that lie beside the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath

from harness.oracle.backup import Backup
from harness.oracle.content import Content, Impossible
from harness.oracle.driver import DRIVER, Driver
from harness.oracle.image import QCOW2, Block, File, Format, Image, Nbd, Raw, Store

DIRECTORY = PurePosixPath("/export/images")
"""Where images lie, as the stack under test sees it, by default."""
SERVER = DIRECTORY / "served.nbd"
"""The socket of the NBD server that images may lie with (see Nbd)."""
DEVICES = DIRECTORY / "devices"
"""Where the block devices are that images may lie on."""
MANAGED = "managed"
"""Where a VM is saved whose memory libvirt keeps itself."""


class Power(StrEnum):
    """Whether a VM runs."""

    UNDEFINED = "undefined"
    OFF = "off"
    RUNNING = "running"
    PAUSED = "paused"


class Death(StrEnum):
    """How a QEMU was ended."""

    SHUT_OFF = "shut off"
    SAVED = "saved"
    SNAPSHOT = "ended with a snapshot"
    REVERTED = "ended by a revert"
    DELETED = "started by libvirt for a deletion, and ended"
    KILLED = "killed"


@dataclass(frozen=True)
class SnapshotRecord:
    """A snapshot that libvirt keeps a record of: the overlay of each disk, and the file with the memory, if any.

    `below` is the image that was active before, of each disk: libvirt deletes the snapshot only if it still is. One
    that is `inside` has no overlays: those images have it, and the memory, if the VM was on; `chains` are those of its
    disks. `parent` is the snapshot that was current before. `power`, `boot` and `service` are the VM's at the instant.
    """

    overlays: Mapping[str, str]
    memory: PurePosixPath | None = None
    below: Mapping[str, str] = field(default_factory=dict)
    parent: str = ""
    power: Power = Power.RUNNING
    boot: int = 0
    service: object = None
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, machine: VmState, overlays: Mapping[str, str], memory: PurePosixPath | None, below: Mapping[str, str]
    ) -> SnapshotRecord:
        """That of a VM as it is."""
        at = machine.power, machine.boot, machine.service
        return cls(overlays, memory, below, machine.current, *at)

    @property
    def inside(self) -> bool:
        """Whether it is inside images."""
        return bool(self.chains)

    @property
    def has_memory(self) -> bool:
        """Whether the guest can go on from it."""
        return self.memory is not None or (self.inside and self.power is not Power.OFF)


@dataclass(frozen=True)
class VmState:
    """One VM. `boot` and `qemu` count its boots and its QEMU processes; both begin at 0, before the first one.

    `current` is the snapshot that the next one comes after; `forgotten` are those that libvirt knows no more. Its disks
    have the same `driver`; where it is `write_through` a discard is not flushed as it ends, and the guest has no flush
    to ask for. `opaque` disks hold the guest's own files: the oracle knows their chain, not their bytes. `backup` is
    the backup that is on; `checkpoints` are those that libvirt has, in order, with their disks. Without `persistent` it
    has no definition, and is gone with its QEMU.

    `detached` are disks that are not plugged in; their images lie there.
    `saved` is the file with the memory of its guest, or MANAGED, while it is off and may go on from there.
    `throttled` are disks that may do so many operations a second, `throttled_next` those from the next start on.
    `turns` are the pauses of its processors, in order, and their ends, as libvirt tells of them ("suspended",
    "resumed"; with a "?" what it need not tell of), but for those that belong to a start. It is `ill` if storage of
    its has failed; `io_errors` are disks that its guest has met that on. `deaths` are how its QEMUs
    were ended, in order.
    """

    disks: Mapping[str, Content] = field(default_factory=dict)
    power: Power = Power.UNDEFINED
    boot: int = 0
    qemu: int = 0
    snapshots: Mapping[str, SnapshotRecord] = field(default_factory=dict)
    current: str = ""
    forgotten: Mapping[str, SnapshotRecord] = field(default_factory=dict)
    opaque: frozenset[str] = frozenset()
    backup: Backup | None = None
    checkpoints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    persistent: bool = True
    saved: str = ""
    detached: Mapping[str, Content] = field(default_factory=dict)
    throttled: Mapping[str, int] = field(default_factory=dict)
    throttled_next: Mapping[str, int] = field(default_factory=dict)
    driver: Driver = DRIVER
    ill: bool = False
    io_errors: frozenset[str] = frozenset()
    turns: tuple[str, ...] = field(default=(), compare=False)
    deaths: tuple[Death, ...] = field(default=(), compare=False)

    @property
    def service(self) -> object:
        """How its disks are served, as a value to compare: a snapshot keeps the definition with it."""
        return self.driver, dict(self.throttled), dict(self.throttled_next), tuple(self.disks)

    @property
    def may_leak(self) -> bool:
        """Whether its images may have clusters that nothing refers to.

        A QEMU that is killed leaves them behind, and one whose writes fail.
        """
        return Death.KILLED in self.deaths or self.ill

    @property
    def known(self) -> Mapping[str, Content]:
        """Its disks, and those that are not plugged in."""
        return {**self.disks, **self.detached}

    @property
    def backed_up_to(self) -> frozenset[str]:
        """The images that a backup goes to which is on."""
        return frozenset(each.dest for each in self.backup.disks.values() if each.dest) if self.backup else frozenset()

    def descendants(self, snapshot: str) -> tuple[str, ...]:
        """The snapshots that came after one, in a tree."""
        children = [name for name, record in self.snapshots.items() if record.parent == snapshot]
        return tuple(name for child in children for name in (child, *self.descendants(child)))

    def without_snapshot(self, name: str) -> VmState:
        """This VM without the record of a snapshot: what came after it comes after its parent, which is current."""
        parent = self.snapshots[name].parent
        kept = {
            other: replace(record, parent=parent) if record.parent == name else record
            for other, record in self.snapshots.items()
            if other != name
        }
        return replace(self, snapshots=kept, current=parent if self.current == name else self.current)

    @property
    def is_on(self) -> bool:
        """Whether it has a QEMU."""
        return self.power in (Power.RUNNING, Power.PAUSED)


@dataclass(frozen=True)
class State:
    """Everything at one moment. `daemon` counts the daemons from 1 on; None while none runs.

    `stores` are where images lie that are not simply files in DIRECTORY. `devices` are block devices for images, by the
    images' names, with their sizes in bytes; an image of that name lies on it. `files` lie there besides images.
    `noise` are regular expressions of what the daemon may log as errors by now. `pace` are the bytes a second that the
    NBD server of images lets pass, 0 for no limit. `broken` are images with what fails of them now; a job has
    `met` that. `secrets` are those that libvirt has.
    """

    vms: Mapping[str, VmState] = field(default_factory=dict)
    daemon: int | None = 1
    stores: Mapping[str, Store] = field(default_factory=dict)
    devices: Mapping[str, int] = field(default_factory=dict)
    files: frozenset[PurePosixPath] = frozenset()
    noise: frozenset[str] = frozenset()
    daemons: int = 1
    pace: int = 0
    broken: tuple[tuple[str, str], ...] = ()
    met: bool = False
    secrets: frozenset[str] = frozenset()

    def vm(self, name: str) -> VmState:
        """The VM of this name: undefined, and without a disk, if nothing was done to it yet."""
        return self.vms.get(name, VmState())

    def disk(self, vm: str, target: str) -> Content:
        """The content of a disk that is plugged in; raises Impossible if the VM has no such disk."""
        if target in self.vm(vm).detached:
            raise Impossible(f"{target} of {vm} is detached")
        return self.content(vm, target)

    def content(self, vm: str, target: str) -> Content:
        """The content of a disk, plugged in or not; raises Impossible if the VM has no such disk."""
        known = self.vm(vm).known
        if target not in known:
            raise Impossible(f"{vm} has no disk {target}; it has {', '.join(known) or 'none'}")
        return known[target]

    def live(self, vm: str) -> VmState:
        """The VM, for acts that need its QEMU and the daemon; raises Impossible if one of them is missing."""
        self.served()
        return self.on(vm)

    def on(self, vm: str) -> VmState:
        """The VM, for acts that need its QEMU; raises Impossible if it is off."""
        machine = self.vm(vm)
        if not machine.is_on:
            raise Impossible(f"{vm} is {machine.power}")
        return machine

    def off(self, vm: str) -> VmState:
        """The VM, for acts that need it defined and off, to boot; raises Impossible."""
        self.served()
        machine = self.vm(vm)
        if machine.power is not Power.OFF:
            raise Impossible(f"{vm} is {machine.power}")
        if machine.saved == MANAGED:
            raise Impossible(f"libvirt has saved {vm}: it would be restored")
        return machine

    def at_rest(self, vm: str, target: str) -> None:
        """Raise Impossible where a guest counts on what the images of its disk hold: it runs, or was saved."""
        machine = self.vm(vm)
        if (machine.is_on or machine.saved) and target not in machine.detached:
            raise Impossible(f"{vm} is {'saved' if machine.saved else machine.power}")

    def endable(self, vm: str) -> VmState:
        """The VM, for acts that end its QEMU; raises Impossible if it would be gone then, which nothing here says."""
        machine = self.on(vm)
        if not machine.persistent:
            raise Impossible(f"{vm} is transient, and would be gone")
        return machine

    def awake(self, vm: str, target: str) -> Content:
        """The disk, for what its guest does; raises Impossible unless the VM runs."""
        if self.vm(vm).power is not Power.RUNNING:
            raise Impossible(f"the guest of {vm} cannot do anything: {vm} is {self.vm(vm).power}")
        return self.disk(vm, target)

    def running(self, vm: str) -> VmState:
        """The VM, for acts that its guest takes part in; raises Impossible unless it runs."""
        machine = self.live(vm)
        if machine.power is not Power.RUNNING:
            raise Impossible(f"{vm} is {machine.power}: its guest must take part")
        return machine

    def without_backup(self, vm: str) -> None:
        """Raise Impossible while a backup of the VM is on."""
        machine = self.vm(vm)
        if machine.backup:
            raise Impossible(f"a backup of {machine.backup} is on")

    def operated(self, vm: str, target: str) -> Content:
        """The disk, for what libvirt does to it live; raises Impossible if it cannot now: a backup of it is on."""
        machine = self.live(vm)
        if machine.backup and target in machine.backup.disks:
            raise Impossible(f"a backup of {machine.backup} is on")
        return self.disk(vm, target)

    def is_slow(self, vm: str, target: str) -> bool:
        """Whether what reads all of the disk takes long: an image of its chain lies with a server that is slow."""
        return self.pace > 0 and any(isinstance(self.store(name), Nbd) for name in self.content(vm, target).chain())

    def served(self) -> None:
        """Raise Impossible while no daemon runs."""
        if self.daemon is None:
            raise Impossible("no libvirtd runs")

    def require_broken(self) -> None:
        """Raise Impossible where all storage is well: what only its failing brings about cannot be."""
        if not self.broken:
            raise Impossible("nothing is broken")

    def require_secret(self, form: Format) -> None:
        """Raise Impossible unless the secret is defined that an image of this format is encrypted with."""
        if form.secret and form.secret not in self.secrets:
            raise Impossible(f"libvirt has no secret {form.secret}")

    def require_plain(self, vm: str) -> None:
        """Raise Impossible where libvirt has qemu-img open the images of a VM that is off: it knows no secrets."""
        for target, content in self.vm(vm).disks.items():
            if content.is_encrypted(content.active):
                raise Impossible(f"{target} of {vm} is encrypted, and qemu-img has no secret from libvirt")

    def require_free(self, name: str) -> None:
        """Raise Impossible if an image of any disk has this name."""
        if any(name in content.layers for machine in self.vms.values() for content in machine.known.values()):
            raise Impossible(f"the name {name} is taken")

    def store(self, name: str) -> Store:
        """Where the image of this name lies."""
        if name in self.devices:
            return Block(DEVICES / name)
        return self.stores.get(name) or File(DIRECTORY / f"{name}.{QCOW2.name}")

    def fits(self, name: str, form: Format, size: int) -> None:
        """Raise Impossible where a disk of so many bytes cannot lie as an image of this name and format."""
        has = self.devices.get(name)
        if isinstance(form, Raw) and form.device != (has is not None):
            raise Impossible(f"{name} is {'a' if has else 'no'} block device")
        self.require_secret(form)
        if isinstance(form, Raw) and has not in (None, size):
            raise Impossible(f"a raw image is as large as its device, {has} bytes, and not {size}")

    def image(self, vm: str, target: str, name: str) -> Image:
        """The image of a disk."""
        return Image(name, self.content(vm, target).layer(name).format, self.store(name))

    def path(self, name: str) -> PurePosixPath:
        """The path of the image of this name; raises ValueError if it has none."""
        store = self.store(name)
        if store.path is None:
            raise ValueError(f"{name} has no path: it is {store}")
        return store.path

    def with_vm(self, name: str, machine: VmState) -> State:
        """This state with another one of a VM."""
        return replace(self, vms={**self.vms, name: machine})

    def with_disk(self, vm: str, target: str, content: Content) -> State:
        """This state with another content of a disk."""
        machine = self.vm(vm)
        if target in machine.detached:
            return self.with_vm(vm, replace(machine, detached={**machine.detached, target: content}))
        return self.with_vm(vm, replace(machine, disks={**machine.disks, target: content}))

    def with_turns(self, vm: str, *turns: str) -> State:
        """This state with one more pause of a VM, or the end of one."""
        machine = self.vm(vm)
        return self.with_vm(vm, replace(machine, turns=(*machine.turns, *turns)))

    def with_power(self, vm: str, power: Power) -> State:
        """This state with a VM that is on, off or paused."""
        return self.with_vm(vm, replace(self.vm(vm), power=power))

    def with_noise(self, *patterns: str) -> State:
        """This state, in which the daemon may have logged errors that match."""
        return replace(self, noise=self.noise.union(patterns)) if patterns else self

    def hardly_heard(self, before: State) -> State:
        """This state, where nobody may have heard of the ends of jobs and the pauses that the state `before` lacks."""
        found = self
        for vm, machine in self.vms.items():
            heard = len(before.vm(vm).turns)
            turns = (*machine.turns[:heard], *(f"{turn.rstrip('?')}?" for turn in machine.turns[heard:]))
            found = found.with_vm(vm, replace(machine, turns=turns))
            for target, content in machine.disks.items():
                known = before.vm(vm).disks.get(target)
                told = len(known.ends) if known else 0
                ends = tuple(replace(end, certain=end.certain and n < told) for n, end in enumerate(content.ends))
                found = found.with_disk(vm, target, replace(content, ends=ends))
        return found

    def either(self, other: State) -> State:
        """This state or the `other`, which nobody can tell: what differs in the bytes of a disk is undefined."""
        found = self
        for vm, machine in self.vms.items():
            for target, content in machine.disks.items():
                found = found.with_disk(vm, target, content.either(other.content(vm, target)))
        return found.with_noise(*other.noise)
