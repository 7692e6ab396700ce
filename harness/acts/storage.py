"""Storage that misbehaves, and is well again: what QEMU does to the file of an image fails, or does not come back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.acts.act import VM, Act
from harness.acts.calls import Await, Error, Fault, Host, Operation
from harness.oracle.content import Impossible
from harness.oracle.state import Power, State
from harness.storage.stores import path_of

# what QEMU writes into its log of an image that it closes, or of a header that it cannot change (block.c, qcow2.c); and
# libvirt from 11 on, of each error that the guest meets
_TOLD_OF_IT = (
    r"Failed to flush the .* cache: |Failed flush for '.*' during close: |Could not update backing file link: "
    r"|IO error device='"
)


@dataclass(frozen=True, repr=False)
class BreakStorage(Act):
    """Have what QEMU does to an image fail from now on: its reads, its writes, its flushes, or its discards.

    The `error` is that of the system call; "stall" has it wait until all is well again. It is so for the first so many
    `times`, 0 for always; and for what begins in the bytes `first` to `last` of the file.
    """

    name: str
    operation: Operation
    error: Error = "EIO"
    times: int = 0
    first: int = 0
    last: int = 1 << 62
    disk: str = "vda"
    vm: str = VM

    def call(self, state: State) -> Host:
        """The shared object in QEMU is told."""
        path = path_of(state.store(self.name))
        assert path is not None
        fault = Fault(f"/{path.name}", self.operation, self.error, self.times, self.first, self.last)
        return Host(fault=fault)

    def after(self, state: State) -> State:
        """Metadata may be written in part: images may have clusters that nothing refers to."""
        if path_of(state.store(self.name)) is None:
            raise Impossible(f"{self.name} is no file")
        machine = state.vm(self.vm)
        state = replace(state, broken=(*state.broken, (self.name, self.operation)))
        return state.with_vm(self.vm, replace(machine, ill=True)).with_noise(_TOLD_OF_IT)

    def __str__(self) -> str:
        often = f" the first {self.times} times" if self.times else ""
        ends = "does not come back" if self.error == "stall" else f"fails with {self.error}"
        return f"every {self.operation} of {self.name} {ends}{often}"


@dataclass(frozen=True, repr=False)
class AwaitFaults(Act):
    """Wait until something has met each fault that there is."""

    vm: str = VM

    def call(self, state: State) -> Await:  # noqa: ARG002
        """Wait."""
        return Await(self.vm, "met")

    def after(self, state: State) -> State:
        """As it was."""
        state.require_broken()
        return state

    def __str__(self) -> str:
        return "the storage has failed"


@dataclass(frozen=True, repr=False)
class HealStorage(Act):
    """All storage is well from now on: what waits for it goes on.

    Raises WaitTimeout if nothing has met a fault: what is broken, and nobody sees it, shows nothing.
    """

    def call(self, state: State) -> Host:  # noqa: ARG002
        """The shared object in QEMU is told."""
        return Host(heals=True)

    def after(self, state: State) -> State:
        """Nothing is broken."""
        state.require_broken()
        return replace(state, broken=(), met=False)

    def __str__(self) -> str:
        return "the storage is well again"


@dataclass(frozen=True, repr=False)
class AwaitStopped(Act):
    """Wait until QEMU has paused the VM because a write that the guest began to a disk has failed."""

    disk: str
    vm: str = VM

    def call(self, state: State) -> Await:  # noqa: ARG002
        """Wait."""
        return Await(self.vm, "stopped by an error", self.disk)

    def after(self, state: State) -> State:
        """It is paused, and its disk has an error, until it is resumed."""
        if not state.awake(self.vm, self.disk).in_flight:
            raise Impossible(f"the guest has begun no write to {self.disk}")
        machine = state.running(self.vm)
        state.require_broken()
        machine = replace(machine, power=Power.PAUSED, io_errors=machine.io_errors | {self.disk})
        return state.with_vm(self.vm, machine).with_turns(self.vm, "suspended")

    def __str__(self) -> str:
        return f"{self.vm} is paused by an error of {self.disk}"
