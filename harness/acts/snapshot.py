"""Snapshots: new active layers for disks at one instant, with or without their memory and a record of libvirt's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from xml.sax.saxutils import quoteattr

from harness.acts.act import VM, Act
from harness.acts.calls import KEPT, Libvirt, chosen
from harness.acts.power import ended
from harness.oracle.content import Content, Impossible
from harness.oracle.image import File
from harness.oracle.state import Death, Power, SnapshotRecord, State
from harness.storage.elements import snapshot_disk


@dataclass(frozen=True, repr=False)
class Snapshot(Act):
    """Make `overlay` the active layer of a disk, with the present one below it: an external snapshot of the disk.

    `also` are other disks with their overlays: all are of the same instant. With a `name` libvirt keeps a record of it;
    with `memory`, the path of a file, of the memory too, `live` while the guest runs on. With `reuse` the overlays
    exist already (CreateImage), in whatever format. With `quiesce` the guest freezes its file systems meanwhile; with
    `halt` QEMU ends afterwards.
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
    vm: str = VM

    @property
    def overlays(self) -> Mapping[str, str]:
        """The overlay of each disk."""
        return {self.disk: self.overlay, **dict(self.also)}

    def call(self, state: State) -> Libvirt:
        """virDomainSnapshotCreateXML."""
        name = f"<name>{self.name}</name>" if self.name else ""
        memory = f"<memory snapshot='external' file={quoteattr(self.memory)}/>" if self.memory else ""
        disks = [snapshot_disk(disk, state.store(overlay)) for disk, overlay in self.overlays.items()]
        others = (disk for disk in state.vm(self.vm).disks if disk not in self.overlays)
        disks += [f"<disk name={quoteattr(disk)} snapshot='no'/>" for disk in others]
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
        below = {}
        for disk, overlay in self.overlays.items():
            before = state.operated(self.vm, disk)
            below[disk] = before.active
            if not self.reuse:
                state.require_free(overlay)
            taken = before.reuse(overlay) if self.reuse else before.snapshot(overlay)
            state = state.with_disk(self.vm, disk, taken)
        if self.quiesce:
            state.running(self.vm)
            if self.memory:
                raise Impossible("the memory is a guest's that runs, and not of one that is frozen")
        state = self._remembered(state, below)
        if not self.halt:
            return state
        machine = state.endable(self.vm)
        flushed = {disk: content.flush() for disk, content in machine.disks.items()}
        return state.with_vm(self.vm, ended(replace(machine, disks=flushed), Death.SNAPSHOT))

    def _remembered(self, state: State, below: Mapping[str, str]) -> State:
        """The state with the file of the memory, and the record, if there are to be any."""
        machine = state.vm(self.vm)
        if self.memory:
            state = replace(state, files=state.files | {PurePosixPath(self.memory)})
            if machine.power is Power.RUNNING:  # it stands still while its memory is saved, or the rest of it
                state = state.with_turns(self.vm, "suspended", *([] if self.halt else ["resumed"]))
        elif self.halt and machine.power is Power.RUNNING:
            state = state.with_turns(self.vm, "suspended?")
        if not self.name:
            return state
        if self.name in machine.snapshots:
            raise Impossible(f"{self.vm} has a snapshot {self.name}")
        memory = PurePosixPath(self.memory) if self.memory else None
        record = SnapshotRecord(self.overlays, memory, below, machine.current)
        kept = {**machine.snapshots, self.name: record}
        return state.with_vm(self.vm, replace(state.vm(self.vm), snapshots=kept, current=self.name))

    def __str__(self) -> str:
        return " and ".join(f"{disk} goes on in {overlay}" for disk, overlay in self.overlays.items())


@dataclass(frozen=True, repr=False)
class DeleteSnapshot(Act):
    """Delete an external snapshot of which libvirt has a record: its overlays are folded into what is below them.

    With `metadata_only` libvirt forgets it, and no image changes; with `children` also those that came after it, or
    with `children_only` they alone.
    """

    name: str
    metadata_only: bool = False
    children: bool = False
    children_only: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainSnapshotDelete."""
        flags = chosen(CHILDREN=self.children, METADATA_ONLY=self.metadata_only, CHILDREN_ONLY=self.children_only)
        return Libvirt("virDomainSnapshotDelete", self.vm, {"name": self.name}, flags)

    def after(self, state: State) -> State:
        """The overlays' data is below, their files and that of the memory are gone."""
        state.served()
        if self.name not in state.vm(self.vm).snapshots:
            raise Impossible(f"{self.vm} has no snapshot {self.name}")
        if self.metadata_only:
            return self._forgotten(state)
        if self.children or self.children_only:
            raise Impossible("libvirt deletes no external snapshots together")
        machine = state.live(self.vm)
        record = machine.snapshots[self.name]
        busy = [disk for disk, content in machine.disks.items() if content.job is not None]
        if busy:
            raise Impossible(f"a job of {', '.join(busy)} is on")
        for disk, overlay in record.overlays.items():
            below = state.disk(self.vm, disk).layer(overlay).backing
            if below != record.below[disk]:
                raise Impossible(f"{overlay} is on {below} by now, and not on {record.below[disk]}")
            state = state.with_disk(self.vm, disk, _folded(state.operated(self.vm, disk), overlay))
        state = state.with_vm(self.vm, state.vm(self.vm).without_snapshot(self.name))
        return replace(state, files=state.files - {record.memory}) if record.memory else state

    def _forgotten(self, state: State) -> State:
        machine = state.vm(self.vm)
        gone = machine.descendants(self.name) if self.children or self.children_only else ()
        gone = gone if self.children_only else (self.name, *gone)
        forgotten = {name: machine.snapshots[name] for name in gone}
        for name in gone:
            machine = machine.without_snapshot(name)
        if self.children_only:  # what they came after is current, if one of them was
            machine = replace(machine, current=machine.current or self.name)
        return state.with_vm(self.vm, replace(machine, forgotten={**machine.forgotten, **forgotten}))

    def __str__(self) -> str:
        what = "what came after " if self.children_only else ""
        more = " and what came after" if self.children else ""
        return f"{'forgets' if self.metadata_only else 'deletes'} {what}the snapshot {self.name}{more}"


@dataclass(frozen=True, repr=False)
class RedefineSnapshot(Act):
    """Have libvirt know again of a snapshot that it has forgotten, as the `current` one, or as one among others."""

    name: str
    current: bool = False
    validate: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainSnapshotCreateXML, REDEFINE; the hand has the XML that it had."""
        flags = chosen(REDEFINE=True, CURRENT=self.current, VALIDATE=self.validate)
        return Libvirt("virDomainSnapshotCreateXML", self.vm, {}, flags, KEPT + self.name)

    def after(self, state: State) -> State:
        """It comes after what it came after before."""
        state.served()
        machine = state.vm(self.vm)
        if self.name not in machine.forgotten:
            raise Impossible(f"libvirt has forgotten no snapshot {self.name} of {self.vm}")
        record = machine.forgotten[self.name]
        if record.parent and record.parent not in machine.snapshots:
            raise Impossible(f"{self.name} comes after {record.parent}, which is not there")
        kept = {name: other for name, other in machine.forgotten.items() if name != self.name}
        known = {**machine.snapshots, self.name: record}
        current = self.name if self.current else machine.current
        return state.with_vm(self.vm, replace(machine, snapshots=known, forgotten=kept, current=current))

    def __str__(self) -> str:
        return f"defines the snapshot {self.name} again{', as the current one' if self.current else ''}"


@dataclass(frozen=True, repr=False)
class RevertToSnapshot(Act):
    """Go back to a snapshot of disks: the VM is off, on new overlays (`dest`, by disk) of what was active then.

    What was written since the current snapshot is gone, with the overlays that it was in.
    """

    name: str
    dests: tuple[tuple[str, str], ...]
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainRevertToSnapshot."""
        return Libvirt("virDomainRevertToSnapshot", self.vm, {"name": self.name})

    def after(self, state: State) -> State:
        """Each disk shows what it did at the instant."""
        state.served()
        machine = state.vm(self.vm)
        if self.name not in machine.snapshots:
            raise Impossible(f"{self.vm} has no snapshot {self.name}")
        record = machine.snapshots[self.name]
        self._require(state, record)
        overlays = {}
        for disk, dest in self.dests:
            state.require_free(dest)
            content = state.content(self.vm, disk)
            state = state.with_disk(self.vm, disk, content.reverted(record.below[disk], dest))
            overlays[disk] = dest
        was_on = machine.is_on
        known = {**machine.snapshots, self.name: replace(record, overlays=overlays)}
        machine = replace(state.vm(self.vm), snapshots=known, current=self.name, saved="")
        return state.with_vm(self.vm, ended(machine, Death.REVERTED) if was_on else machine)

    def _require(self, state: State, record: SnapshotRecord) -> None:
        machine = state.vm(self.vm)
        if record.memory is not None:
            raise Impossible(f"{self.name} has a memory, with which it would go on")
        if machine.checkpoints or any(content.bitmaps for content in machine.disks.values()):
            raise Impossible(f"{self.vm} has checkpoints, or bitmaps that are left of them")
        if not machine.persistent or machine.saved:
            raise Impossible(f"{self.vm} is transient, or saved")
        state.without_backup(self.vm)
        current = machine.snapshots[machine.current].overlays if machine.current else {}
        for disk, content in machine.disks.items():
            if content.job is not None:
                raise Impossible(f"{disk} has a job")
            if disk not in record.below or current.get(disk) != content.active:
                raise Impossible(f"{disk} goes on in {content.active}, which is of no snapshot that is current")
            if record.below[disk] not in content.files() or not content.readable(record.below[disk]):
                raise Impossible(f"{record.below[disk]} of {disk} is not there")
        if set(dict(self.dests)) != set(machine.disks):
            raise Impossible(f"a snapshot of {', '.join(record.below)} is reverted to on all of them")

    def learned(self, after: State, answer: object) -> State:
        """libvirt names the new overlays by the time: they lie where the hand has seen them."""
        if not isinstance(answer, Mapping):
            return after
        stores = {dest: File(PurePosixPath(str(answer[disk]))) for disk, dest in self.dests}
        return replace(after, stores={**after.stores, **stores})

    def __str__(self) -> str:
        return f"goes back to the snapshot {self.name}"


def _folded(content: Content, overlay: str) -> Content:
    below = content.layer(overlay).backing
    if below is None:
        raise Impossible(f"{overlay} has nothing below it")
    if overlay == content.active:
        return content.active_commit(below).ready().pivot().remove(overlay)
    return content.commit(overlay, below).completed().remove(overlay)
