"""What keeps a running guest while its VM is off: its memory in a file, from which it goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from harness.acts.act import VM, Act
from harness.acts.calls import Argument, Libvirt
from harness.acts.power import ended
from harness.oracle.content import Impossible
from harness.oracle.state import MANAGED, Death, Power, State


@dataclass(frozen=True, repr=False)
class Save(Act):
    """Save the guest's memory, and end its QEMU: into the `file`, or where libvirt keeps it until the next start."""

    file: str = ""
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainManagedSave, or virDomainSave."""
        args: dict[str, Argument] = {"file": self.file} if self.file else {}
        return Libvirt("virDomainSave" if self.file else "virDomainManagedSave", self.vm, args)

    def after(self, state: State) -> State:
        """Off; QEMU has closed its images before it ended, and its guest stands still."""
        state.running(self.vm)
        machine = state.endable(self.vm)
        for target, content in machine.disks.items():
            if content.job is not None:
                raise Impossible(f"{self.vm} cannot be saved during {content.job} of {target}")
            if content.in_flight:
                raise Impossible(f"its guest has a write to {target} in flight")
        state.without_backup(self.vm)
        flushed = {target: content.flush() for target, content in machine.disks.items()}
        saved = replace(ended(replace(machine, disks=flushed), Death.SAVED), saved=self.file or MANAGED)
        files = state.files | ({PurePosixPath(self.file)} if self.file else set())
        return replace(state.with_vm(self.vm, saved), files=files)

    def __str__(self) -> str:
        return f"saves {self.vm}{f' into {self.file}' if self.file else ''}"


@dataclass(frozen=True, repr=False)
class Restore(Act):
    """Start the VM where it was saved, on its images as they are."""

    vm: str = VM

    def call(self, state: State) -> Libvirt:
        """virDomainCreate of a VM that libvirt has saved; virDomainRestore from a file."""
        saved = state.vm(self.vm).saved
        if saved == MANAGED:
            return Libvirt("virDomainCreate", self.vm, {"from": MANAGED})
        return Libvirt("virDomainRestore", self.vm, {"file": saved})

    def after(self, state: State) -> State:
        """The guest goes on, in a new QEMU."""
        state.served()
        machine = state.vm(self.vm)
        if not machine.saved:
            raise Impossible(f"{self.vm} was not saved")
        restored = replace(machine, power=Power.RUNNING, qemu=machine.qemu + 1, saved="")
        return state.with_vm(self.vm, restored)

    def __str__(self) -> str:
        return f"restores {self.vm}"


@dataclass(frozen=True, repr=False)
class RemoveSaved(Act):
    """Have libvirt forget what it has saved of the VM: the next start boots."""

    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainManagedSaveRemove."""
        return Libvirt("virDomainManagedSaveRemove", self.vm)

    def after(self, state: State) -> State:
        """It is off, and no more."""
        state.served()
        machine = state.vm(self.vm)
        if machine.saved != MANAGED:
            raise Impossible(f"libvirt has saved nothing of {self.vm}")
        return state.with_vm(self.vm, replace(machine, saved=""))

    def __str__(self) -> str:
        return f"removes what libvirt has saved of {self.vm}"
