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
    """Delete a checkpoint: nothing can be backed up from it on any more."""

    name: str
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainCheckpointDelete."""
        return Libvirt("virDomainCheckpointDelete", self.vm, {"name": self.name})

    def after(self, state: State) -> State:
        """No image of the chain has its bitmap."""
        machine = state.live(self.vm)
        state.without_backup(self.vm)
        if self.name not in machine.checkpoints:
            raise Impossible(f"{self.vm} has no checkpoint {self.name}")
        for disk in machine.checkpoints[self.name]:
            if state.disk(self.vm, disk).job is not None:
                raise Impossible(f"{disk} has a job")
            state = state.with_disk(self.vm, disk, state.disk(self.vm, disk).unmark(self.name))
        machine = state.vm(self.vm)
        kept = {name: disks for name, disks in machine.checkpoints.items() if name != self.name}
        return state.with_vm(self.vm, replace(machine, checkpoints=kept))

    def __str__(self) -> str:
        return f"deletes the checkpoint {self.name}"


def checkpoint_xml(state: State, vm: str, checkpoint: CreateCheckpoint) -> str:
    """The XML of a checkpoint of some disks of a VM."""
    disks = "".join(
        f"<disk name={quoteattr(disk)} checkpoint='{'bitmap' if disk in checkpoint.disks else 'no'}'/>"
        for disk in state.vm(vm).disks
    )
    return f"<domaincheckpoint><name>{checkpoint.name}</name><disks>{disks}</disks></domaincheckpoint>"


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
