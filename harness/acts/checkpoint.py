"""Checkpoints: instants from which on libvirt keeps track, in bitmaps, of what a guest writes to its disks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from xml.sax.saxutils import quoteattr

from harness.acts.act import VM, Act
from harness.acts.calls import Libvirt
from harness.oracle.content import Impossible
from harness.oracle.state import State


@dataclass(frozen=True, repr=False)
class CreateCheckpoint(Act):
    """Make a checkpoint of disks: from now on what the guest writes to them is recorded under its name."""

    name: str
    disks: tuple[str, ...] = ("vda",)
    vm: str = VM

    def call(self, state: State) -> Libvirt:
        """virDomainCheckpointCreateXML."""
        return Libvirt("virDomainCheckpointCreateXML", self.vm, {}, (), checkpoint_xml(state, self.vm, self))

    def after(self, state: State) -> State:
        """The active image of each has an empty bitmap more."""
        return marked(state, self.vm, self.name, self.disks)

    def __str__(self) -> str:
        return f"makes the checkpoint {self.name} of {', '.join(self.disks)}"


@dataclass(frozen=True, repr=False)
class DeleteCheckpoint(Act):
    """Delete a checkpoint: nothing can be backed up from it on any more.

    With `children`, those that were made after it are deleted too, or with `children_only` they alone. With
    `metadata_only` libvirt forgets what it deletes, and the bitmaps stay.
    """

    name: str
    children: bool = False
    children_only: bool = False
    metadata_only: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainCheckpointDelete."""
        wanted = {
            "CHILDREN": self.children,
            "METADATA_ONLY": self.metadata_only,
            "CHILDREN_ONLY": self.children_only,
        }
        flags = tuple(flag for flag, is_set in wanted.items() if is_set)
        return Libvirt("virDomainCheckpointDelete", self.vm, {"name": self.name}, flags)

    def after(self, state: State) -> State:
        """No image of the chain has their bitmaps."""
        machine = state.vm(self.vm) if self.metadata_only else state.live(self.vm)
        state.served()
        if self.name not in machine.checkpoints:
            raise Impossible(f"{self.vm} has no checkpoint {self.name}")
        known = list(machine.checkpoints)
        first = known.index(self.name) + self.children_only
        gone = known[first:] if self.children or self.children_only else [self.name]
        for name in gone if not self.metadata_only else ():
            for disk in machine.checkpoints[name]:
                if state.disk(self.vm, disk).job is not None:
                    raise Impossible(f"{disk} has a job")
                if not state.disk(self.vm, disk).written_since(name).kept:
                    raise Impossible(f"the bitmap {name} of {disk} may be lost")
                state = state.with_disk(self.vm, disk, state.disk(self.vm, disk).unmark(name))
        kept = {name: disks for name, disks in machine.checkpoints.items() if name not in gone}
        return state.with_vm(self.vm, replace(state.vm(self.vm), checkpoints=kept))

    def __str__(self) -> str:
        what = "what came after" if self.children_only else "and what came after" if self.children else ""
        name = f"{what} {self.name}" if self.children_only else f"{self.name} {what}".strip()
        return f"{'forgets' if self.metadata_only else 'deletes'} the checkpoint {name}"


@dataclass(frozen=True, repr=False)
class RedefineCheckpoint(Act):
    """Have libvirt know again of a checkpoint of disks that it has forgotten, and of which the bitmaps are there.

    With `validate` it looks whether they are.
    """

    name: str
    disks: tuple[str, ...] = ("vda",)
    validate: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:
        """virDomainCheckpointCreateXML, REDEFINE."""
        made = CreateCheckpoint(self.name, self.disks, vm=self.vm)
        *_, parent = ["", *state.vm(self.vm).checkpoints]
        xml = checkpoint_xml(state, self.vm, made, parent)
        flags = ("REDEFINE", "REDEFINE_VALIDATE") if self.validate else ("REDEFINE",)
        return Libvirt("virDomainCheckpointCreateXML", self.vm, {}, flags, xml)

    def after(self, state: State) -> State:
        """It is the last one."""
        machine = state.live(self.vm)
        if self.name in machine.checkpoints:
            raise Impossible(f"{self.vm} has a checkpoint {self.name}")
        if not machine.persistent:
            raise Impossible(f"{self.vm} is transient: where the record would be kept, nothing says")
        for disk in self.disks:
            if not state.disk(self.vm, disk).written_since(self.name).kept:
                raise Impossible(f"the bitmap {self.name} of {disk} may be lost")
        return state.with_vm(self.vm, replace(machine, checkpoints={**machine.checkpoints, self.name: self.disks}))

    def __str__(self) -> str:
        return f"defines the checkpoint {self.name} again"


def checkpoint_xml(state: State, vm: str, checkpoint: CreateCheckpoint, parent: str | None = None) -> str:
    """The XML of a checkpoint of some disks of a VM; to define it again, with its `parent`, if any."""
    disks = "".join(
        f"<disk name={quoteattr(disk)} checkpoint='{'bitmap' if disk in checkpoint.disks else 'no'}'/>"
        for disk in state.vm(vm).disks
    )
    more = ""
    if parent is not None:
        more = "<creationTime>1</creationTime>" + (f"<parent><name>{parent}</name></parent>" if parent else "")
    return f"<domaincheckpoint><name>{checkpoint.name}</name>{more}<disks>{disks}</disks></domaincheckpoint>"


def marked(state: State, vm: str, name: str, disks: tuple[str, ...]) -> State:
    """The state when a checkpoint of disks was made. Raises Impossible."""
    machine = state.live(vm)
    if name in machine.checkpoints:
        raise Impossible(f"{vm} has a checkpoint {name}")
    if not machine.persistent:
        raise Impossible(f"{vm} is transient")
    for disk in disks:
        state = state.with_disk(vm, disk, state.disk(vm, disk).mark(name))
    return state.with_vm(vm, replace(state.vm(vm), checkpoints={**machine.checkpoints, name: disks}))
