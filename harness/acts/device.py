"""Disks that come and go while their VM runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from harness.acts.act import VM, Act
from harness.acts.calls import Libvirt
from harness.oracle.content import Impossible
from harness.oracle.state import State, VmState

T = TypeVar("T")


class _OfDevice(Act):
    """What changes which disks a VM has, now and in its definition, if it has one."""

    disk: str
    vm: str

    function: str

    def call(self, state: State) -> Libvirt:
        """The function; the hand has the XML."""
        flags = ("LIVE", "CONFIG") if state.vm(self.vm).persistent else ("LIVE",)
        return Libvirt(self.function, self.vm, {"disk": self.disk}, flags)

    def _machine(self, state: State) -> VmState:
        """The VM; raises Impossible unless the guest runs, and no backup is on."""
        machine = state.running(self.vm)
        state.without_backup(self.vm)
        return machine


@dataclass(frozen=True, repr=False)
class Attach(_OfDevice):
    """Plug a disk into the running VM: on the chain whose active image it was detached with, or was made with.

    The guest calls it by its target, since all before it in the alphabet are there.
    """

    disk: str
    vm: str = VM

    function = "virDomainAttachDeviceFlags"

    def after(self, state: State) -> State:
        """The guest sees what its active image shows."""
        machine = self._machine(state)
        if self.disk not in machine.detached:
            raise Impossible(f"{self.disk} of {self.vm} is not detached")
        missing = [other for other in machine.detached if other < self.disk]
        if missing:
            raise Impossible(f"without {', '.join(missing)} the guest would call {self.disk} otherwise")
        content = machine.detached[self.disk]
        if not content.readable(content.active):
            raise Impossible(f"an image of the chain of {self.disk} was removed")
        disks, detached = {**machine.disks, self.disk: content}, _without(self.disk, machine.detached)
        return state.with_vm(self.vm, replace(machine, disks=disks, detached=detached))

    def __str__(self) -> str:
        return f"attaches {self.disk}"


@dataclass(frozen=True, repr=False)
class Detach(_OfDevice):
    """Unplug the last disk from the running VM, in the alphabet: its images stay what they are."""

    disk: str
    vm: str = VM

    function = "virDomainDetachDeviceFlags"

    def after(self, state: State) -> State:
        """QEMU has closed its images; it is throttled no more."""
        machine = self._machine(state)
        content = state.disk(self.vm, self.disk)
        if content.job is not None:
            raise Impossible(f"{self.disk} cannot go during {content.job}")
        if content.in_flight:
            raise Impossible(f"the guest has a write to {self.disk} in flight")
        if len(machine.disks) == 1:
            raise Impossible(f"{self.disk} is the only disk of {self.vm}")
        if self.disk != max(machine.disks):
            raise Impossible(f"without {self.disk} the guest would call {max(machine.disks)} otherwise")
        kept = [name for name, record in machine.snapshots.items() if self.disk in record.overlays]
        if kept:
            raise Impossible(f"libvirt has a record of {', '.join(kept)} of {self.disk}")
        gone = replace(
            machine,
            disks=_without(self.disk, machine.disks),
            detached={**machine.detached, self.disk: content.flush()},
            throttled=_without(self.disk, machine.throttled),
            throttled_next=_without(self.disk, machine.throttled_next),
        )
        return state.with_vm(self.vm, gone)

    def __str__(self) -> str:
        return f"detaches {self.disk}"


def _without(disk: str, of_disks: Mapping[str, T]) -> Mapping[str, T]:
    return {target: value for target, value in of_disks.items() if target != disk}
