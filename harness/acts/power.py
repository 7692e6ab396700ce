"""What turns a VM on and off."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal

from harness.acts.act import VM, Act
from harness.acts.calls import Libvirt
from harness.oracle.content import Impossible
from harness.oracle.driver import DRIVER, Driver
from harness.oracle.job import End
from harness.oracle.state import Death, Power, State, VmState


@dataclass(frozen=True, repr=False)
class Define(Act):
    """Define the VM on the active layers of its disks; with `root_on_vda` the guest lives on vda.

    All of them have the same `driver`.
    """

    root_on_vda: bool = False
    driver: Driver = DRIVER
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainDefineXML, of which the hand has the XML."""
        return Libvirt("virDomainDefineXML", self.vm, {"root_on_vda": int(self.root_on_vda), **asdict(self.driver)})

    def after(self, state: State) -> State:
        """It is off."""
        state.served()
        if state.vm(self.vm).power is not Power.UNDEFINED:
            raise Impossible(f"{self.vm} is defined")
        if not state.vm(self.vm).disks:
            raise Impossible(f"{self.vm} has no disk")
        machine = replace(state.vm(self.vm), power=Power.OFF, driver=self.driver)
        return state.with_vm(self.vm, machine)

    def __str__(self) -> str:
        return f"defines {self.vm}"


@dataclass(frozen=True, repr=False)
class Undefine(Act):
    """Remove the definition of a VM that runs: it goes on, as a transient one."""

    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainUndefine."""
        return Libvirt("virDomainUndefine", self.vm)

    def after(self, state: State) -> State:
        """It is transient."""
        machine = state.live(self.vm)
        if not machine.persistent:
            raise Impossible(f"{self.vm} has no definition")
        if machine.snapshots:
            raise Impossible(f"{self.vm} has snapshots, whose records would go")
        if machine.checkpoints:
            raise Impossible(f"{self.vm} has checkpoints, whose records would go")
        return state.with_vm(self.vm, replace(machine, persistent=False))

    def __str__(self) -> str:
        return f"removes the definition of {self.vm}, which runs on"


@dataclass(frozen=True, repr=False)
class Redefine(Act):
    """Give a VM that is transient, or off, a definition: the one it had, on the active layers of its disks."""

    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainDefineXML, of which the hand has the XML."""
        return Libvirt("virDomainDefineXML", self.vm)

    def after(self, state: State) -> State:
        """It is persistent."""
        state.served()
        machine = state.vm(self.vm)
        if machine.power is Power.UNDEFINED:
            raise Impossible(f"{self.vm} is undefined")
        if machine.persistent and machine.is_on:
            raise Impossible(f"{self.vm} has a definition")
        if any(content.job is not None for content in machine.disks.values()):
            raise Impossible(f"a job of {self.vm} is on: its end would change the chain of the definition")
        return state.with_vm(self.vm, replace(machine, persistent=True))

    def __str__(self) -> str:
        return f"gives {self.vm} a definition"


@dataclass(frozen=True, repr=False)
class Start(Act):
    """Start the VM and reach its guest: booted, or `restored` from a guest that was booted and saved before.

    Where it cannot be restored it is booted.
    """

    restored: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainCreate, or virDomainRestoreFlags."""
        return Libvirt("virDomainRestoreFlags" if self.restored else "virDomainCreate", self.vm)

    def after(self, state: State) -> State:
        """A new QEMU and a new boot."""
        machine = state.off(self.vm)
        broken = [disk for disk, content in machine.disks.items() if not content.readable(content.active)]
        if broken:
            raise Impossible(f"an image of the chain of {', '.join(broken)} was removed")
        started = replace(machine, power=Power.RUNNING, boot=machine.boot + 1, qemu=machine.qemu + 1, saved="")
        started = replace(started, throttled=machine.throttled_next)
        return state.with_vm(self.vm, started)

    def __str__(self) -> str:
        return f"starts {self.vm}"


@dataclass(frozen=True, repr=False)
class ShutOff(Act):
    """End QEMU politely: it flushes and closes its images; the definition stays."""

    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainDestroyFlags, GRACEFUL."""
        return Libvirt("virDomainDestroyFlags", self.vm, {}, ("GRACEFUL",))

    def after(self, state: State) -> State:
        """Off; nothing is lost, but a job is."""
        state.served()
        machine = state.endable(self.vm)
        flushed = {target: content.flush() for target, content in machine.disks.items()}
        return state.with_vm(self.vm, ended(replace(machine, disks=flushed), Death.SHUT_OFF))

    def __str__(self) -> str:
        return f"shuts {self.vm} off"


@dataclass(frozen=True, repr=False)
class Suspend(Act):
    """Pause the VM's processors."""

    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainSuspend."""
        return Libvirt("virDomainSuspend", self.vm)

    def after(self, state: State) -> State:
        """Paused."""
        return _turned(state, self.vm, Power.RUNNING, Power.PAUSED).with_turns(self.vm, "suspended")

    def __str__(self) -> str:
        return f"pauses {self.vm}"


@dataclass(frozen=True, repr=False)
class Resume(Act):
    """Let the VM's processors go on."""

    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainResume."""
        return Libvirt("virDomainResume", self.vm)

    def after(self, state: State) -> State:
        """Running."""
        return _turned(state, self.vm, Power.PAUSED, Power.RUNNING).with_turns(self.vm, "resumed")

    def __str__(self) -> str:
        return f"resumes {self.vm}"


@dataclass(frozen=True, repr=False)
class Reset(Act):
    """Press the reset button: the guest boots again, in the same QEMU."""

    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainReset."""
        return Libvirt("virDomainReset", self.vm)

    def after(self, state: State) -> State:
        """One more boot. What the guest did not flush is in QEMU, and not lost."""
        machine = state.running(self.vm)
        return state.with_vm(self.vm, replace(machine, boot=machine.boot + 1))

    def __str__(self) -> str:
        return f"resets {self.vm}"


_PERHAPS: tuple[Literal["completed", "canceled", "failed"], ...] = ("completed", "canceled", "failed")


def ended(machine: VmState, death: Death) -> VmState:
    """A VM whose QEMU is gone at once: what its guest did not flush may be lost. Unless killed, it has closed all."""
    closed = death is not Death.KILLED
    disks = {target: content.crash(closed=closed) for target, content in machine.disks.items()}
    if machine.backup is not None and machine.backup.push:  # it may have come to its end before
        for target in machine.backup.disks:
            for how in _PERHAPS:
                disks[target] = disks[target].with_end(End("backup", how, certain=False))
    return replace(machine, power=Power.OFF, disks=disks, backup=None, deaths=(*machine.deaths, death))


def _turned(state: State, vm: str, before: Power, after: Power) -> State:
    if state.live(vm).power is not before:
        raise Impossible(f"{vm} is {state.vm(vm).power}")
    return state.with_power(vm, after)
