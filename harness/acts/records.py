"""Snapshots that libvirt has on record: deleted with what they keep, forgotten, and defined again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.acts.act import VM, Act
from harness.acts.calls import KEPT, Libvirt, chosen
from harness.oracle.content import Content, Impossible
from harness.oracle.state import Death, State, VmState


@dataclass(frozen=True, repr=False)
class DeleteSnapshot(Act):
    """Delete a snapshot of which libvirt has a record: its overlays are folded into what is below them.

    One inside the images is removed there. With `metadata_only` libvirt forgets it, and no image changes; with
    `children` also those that came after it, or with `children_only` they alone.
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
        state.without_backup(self.vm)
        if self.name not in state.vm(self.vm).snapshots:
            raise Impossible(f"{self.vm} has no snapshot {self.name}")
        if self.metadata_only:
            return self._forgotten(state)
        if all(state.vm(self.vm).snapshots[name].inside for name in self._gone(state.vm(self.vm))):
            return self._let_go(state)
        if self.children or self.children_only:
            raise Impossible("libvirt deletes no external snapshots together")
        machine = state.vm(self.vm)
        if not machine.is_on and (machine.saved or not machine.persistent):
            raise Impossible(f"{self.vm} is saved, or gone")
        record = machine.snapshots[self.name]
        busy = [disk for disk, content in machine.disks.items() if content.job is not None]
        if busy:
            raise Impossible(f"a job of {', '.join(busy)} is on")
        for disk, overlay in record.overlays.items():
            state = state.with_disk(self.vm, disk, _deleted(state.disk(self.vm, disk), overlay, record.below[disk]))
        machine = state.vm(self.vm).without_snapshot(self.name)
        if not machine.is_on:  # libvirt has a QEMU do it, without a guest
            machine = replace(machine, deaths=(*machine.deaths, Death.DELETED))
        state = state.with_vm(self.vm, machine)
        return replace(state, files=state.files - {record.memory}) if record.memory else state

    def _gone(self, machine: VmState) -> tuple[str, ...]:
        """The snapshots that libvirt will know no more."""
        after = machine.descendants(self.name) if self.children or self.children_only else ()
        return after if self.children_only else (self.name, *after)

    def _let_go(self, state: State) -> State:
        """The state without snapshots inside images: of a VM that is on, which its active ones must have."""
        machine = state.vm(self.vm)
        if not machine.is_on:
            state.require_plain(self.vm)
        gone = self._gone(machine)
        for name in gone:
            below = machine.snapshots[name].below
            for disk, content in state.vm(self.vm).disks.items():
                if disk not in below or (machine.is_on and below[disk] != content.active):
                    raise Impossible(f"{name} of {disk} is not inside {content.active}")
                state = state.with_disk(self.vm, disk, content.let_go(name, below[disk]))
        return state.with_vm(self.vm, self._without(state.vm(self.vm), gone))

    def _without(self, machine: VmState, gone: tuple[str, ...]) -> VmState:
        for name in gone:
            machine = machine.without_snapshot(name)
        if self.children_only:  # what they came after is current, if one of them was
            return replace(machine, current=machine.current or self.name)
        return machine

    def _forgotten(self, state: State) -> State:
        machine = state.vm(self.vm)
        gone = self._gone(machine)
        forgotten = {name: machine.snapshots[name] for name in gone}
        kept = self._without(machine, gone)
        return state.with_vm(self.vm, replace(kept, forgotten={**machine.forgotten, **forgotten}))

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
        state.without_backup(self.vm)
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


def _deleted(content: Content, overlay: str, below: str) -> Content:
    """The disk without an overlay: folded into what is `below` it, or removed where the disk goes on elsewhere."""
    on = content.layer(overlay).backing
    if overlay not in content.chain():
        above = [name for name, layer in content.layers.items() if layer.backing == overlay]
        if above:
            raise Impossible(f"{', '.join(above)} is on {overlay}")
        return content.remove(overlay)
    if on != below:
        raise Impossible(f"{overlay} is on {on} by now, and not on {below}")
    if overlay == content.active:
        return content.active_commit(below).ready().pivot().remove(overlay)
    return content.commit(overlay, below).completed().remove(overlay)
