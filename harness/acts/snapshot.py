"""Snapshots: new active layers for disks at one instant, or what images keep inside; with memory, and a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from xml.sax.saxutils import quoteattr

from harness.acts.act import VM, Act
from harness.acts.calls import Libvirt, chosen
from harness.acts.power import ended
from harness.oracle.content import Content, Impossible
from harness.oracle.image import Format
from harness.oracle.state import Death, Power, SnapshotRecord, State
from harness.storage.elements import snapshot_disk


@dataclass(frozen=True, repr=False)
class Snapshot(Act):
    """Make `overlay` the active layer of a disk, with the present one below it: an external snapshot of the disk.

    `also` are other disks with their overlays: all are of the same instant. With a `name` libvirt keeps a record of it;
    with `memory`, the path of a file, of the memory too, `live` while the guest runs on. With `reuse` the overlays
    exist already (CreateImage), in whatever format. With `quiesce` the guest freezes its file systems meanwhile; with
    `halt` QEMU ends afterwards. Disks that are `manual` somebody else copies, while the VM stands still: it is paused
    until it is resumed. With a `secret` libvirt makes overlays that are encrypted with it.
    """

    disk: str
    overlay: str
    name: str = ""
    memory: str = ""
    reuse: bool = False
    also: tuple[tuple[str, str], ...] = ()
    quiesce: bool = False
    live: bool = False
    halt: bool = False
    manual: tuple[str, ...] = ()
    secret: str = ""
    vm: str = VM

    @property
    def overlays(self) -> Mapping[str, str]:
        """The overlay of each disk."""
        return {self.disk: self.overlay, **dict(self.also)}

    def call(self, state: State) -> Libvirt:
        """virDomainSnapshotCreateXML."""
        name = f"<name>{self.name}</name>" if self.name else ""
        memory = f"<memory snapshot='external' file={quoteattr(self.memory)}/>" if self.memory else ""
        disks = [
            snapshot_disk(disk, state.store(overlay), self._form(state.disk(self.vm, disk), overlay))
            for disk, overlay in self.overlays.items()
        ]
        for disk in state.vm(self.vm).disks:
            if disk not in self.overlays:
                disks.append(f"<disk name={quoteattr(disk)} snapshot='{'manual' if disk in self.manual else 'no'}'/>")
        xml = f"<domainsnapshot>{name}{memory}<disks>{''.join(disks)}</disks></domainsnapshot>"
        flags = chosen(
            ATOMIC=True,
            DISK_ONLY=not self.memory,
            NO_METADATA=not self.name,
            REUSE_EXT=self.reuse,
            QUIESCE=self.quiesce,
            LIVE=self.live,
            HALT=self.halt,
        )
        return Libvirt("virDomainSnapshotCreateXML", self.vm, {}, flags, xml)

    def after(self, state: State) -> State:
        """The overlays are active, and empty."""
        state.live(self.vm)
        state.without_backup(self.vm)
        below = {}
        for disk, overlay in self.overlays.items():
            before = state.operated(self.vm, disk)
            below[disk] = before.active
            if not self.reuse:
                state.require_free(overlay)
            form = self._form(before, overlay)
            state.require_secret(form)
            taken = before.reuse(overlay) if self.reuse else before.snapshot(overlay, form)
            state = state.with_disk(self.vm, disk, taken)
        if self.quiesce:
            state.running(self.vm)
            if self.memory:
                raise Impossible("the memory is a guest's that runs, and not of one that is frozen")
        state = self._remembered(state, below)
        for disk in self.manual:
            before = state.operated(self.vm, disk)
            if before.job is not None:
                raise Impossible(f"{disk} has a job")
            state = state.with_disk(self.vm, disk, before.flush())
        if self.manual and state.vm(self.vm).power is Power.RUNNING:
            state = state.with_power(self.vm, Power.PAUSED)
        if not self.halt:
            return state
        machine = state.endable(self.vm)
        flushed = {disk: content.flush() for disk, content in machine.disks.items()}
        return state.with_vm(self.vm, ended(replace(machine, disks=flushed), Death.SNAPSHOT))

    def _form(self, content: Content, overlay: str) -> Format:
        """The format of an overlay."""
        return content.layer(overlay).format if self.reuse else content.overlaid(self.secret)

    def _remembered(self, state: State, below: Mapping[str, str]) -> State:
        """The state with the file of the memory, and the record, if there are to be any."""
        machine = state.vm(self.vm)
        if self.memory:
            state = replace(state, files=state.files | {PurePosixPath(self.memory)})
            if machine.power is Power.RUNNING:  # it stands still while its memory is saved, or the rest of it
                stays = self.halt or self.manual
                state = state.with_turns(self.vm, "suspended", *([] if stays else ["resumed"]))
        elif self.manual and machine.power is Power.RUNNING:
            state = state.with_turns(self.vm, "suspended")
        elif self.halt and machine.power is Power.RUNNING:
            state = state.with_turns(self.vm, "suspended?")
        if not self.name:
            return state
        if self.name in machine.snapshots:
            raise Impossible(f"{self.vm} has a snapshot {self.name}")
        memory = PurePosixPath(self.memory) if self.memory else None
        record = SnapshotRecord.of(machine, self.overlays, memory, below)
        kept = {**machine.snapshots, self.name: record}
        return state.with_vm(self.vm, replace(state.vm(self.vm), snapshots=kept, current=self.name))

    def __str__(self) -> str:
        return " and ".join(f"{disk} goes on in {overlay}" for disk, overlay in self.overlays.items())


@dataclass(frozen=True, repr=False)
class InternalSnapshot(Act):
    """Keep what all disks hold inside their active images, and the memory of a VM that is on: an internal snapshot.

    With `unrecorded` libvirt keeps no record of it; with `halt` QEMU ends afterwards.
    """

    name: str
    unrecorded: bool = False
    halt: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainSnapshotCreateXML; internal is what libvirt takes where nothing is said."""
        xml = f"<domainsnapshot><name>{self.name}</name></domainsnapshot>"
        flags = chosen(NO_METADATA=self.unrecorded, HALT=self.halt)
        return Libvirt("virDomainSnapshotCreateXML", self.vm, {}, flags, xml)

    def after(self, state: State) -> State:
        """Each active image has it inside; QEMU has flushed them, and its guest stood still meanwhile."""
        state.served()
        state.without_backup(self.vm)
        machine = state.vm(self.vm)
        if machine.power is Power.UNDEFINED or machine.saved:
            raise Impossible(f"{self.vm} is {'saved' if machine.saved else 'undefined'}")
        if self.name in machine.snapshots:
            raise Impossible(f"{self.vm} has a snapshot {self.name}")
        if not machine.is_on:
            state.require_plain(self.vm)
        below = {}
        for disk, content in machine.disks.items():
            if content.in_flight or content.acknowledged:
                raise Impossible(f"nobody knows what of {disk} is in which image")
            below[disk] = content.active
            state = state.with_disk(self.vm, disk, content.keep(self.name, memory=machine.is_on))
        if not self.unrecorded:
            chains = {disk: content.chain() for disk, content in machine.disks.items()}
            record = replace(SnapshotRecord.of(machine, {}, None, below), chains=chains)
            known = {**machine.snapshots, self.name: record}
            state = state.with_vm(self.vm, replace(state.vm(self.vm), snapshots=known, current=self.name))
        if machine.power is Power.RUNNING:
            state = state.with_turns(self.vm, "suspended", *([] if self.halt else ["resumed"]))
        if not self.halt:
            return state
        state.endable(self.vm)
        return state.with_vm(self.vm, ended(state.vm(self.vm), Death.SNAPSHOT))

    def refused(self, state: State) -> State:
        """The guest may have stood still until it was."""
        is_running = state.vm(self.vm).power is Power.RUNNING
        return state.with_turns(self.vm, "suspended?", "resumed?") if is_running else state

    def __str__(self) -> str:
        return f"makes the snapshot {self.name} inside the images of {self.vm}"
