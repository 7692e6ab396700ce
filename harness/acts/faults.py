"""What dies: the daemon, QEMU, everything at once; and the daemon's coming back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.acts.act import VM, Act
from harness.acts.calls import Signal
from harness.acts.power import ended
from harness.oracle.content import Impossible
from harness.oracle.state import Death, State

# what libvirt 7 and 9 log as errors at every start in a sandbox: other drivers of theirs find nothing to drive
_AT_START = r"dnsmasqCaps|virGDBusGet(System|Session)Bus|udevGetDMIData|virFirewall(ValidateBackend|Apply):"
# what libvirt logs of a QEMU that ends under its hands, or ended while no daemon ran
_CUT_OFF = "Unable to read from monitor: Connection reset by peer"
_DESERTED = "failed to connect to monitor socket"


class _EndDaemon(Act):
    """What ends the daemon."""

    def after(self, state: State) -> State:
        """No daemon runs, and nobody tells of jobs that end."""
        state.served()
        for vm, machine in state.vms.items():
            for target, content in machine.disks.items():
                state = state.with_disk(vm, target, content.unheard())
            if machine.backup is not None:
                unheard = replace(machine.backup, unheard=True)
                state = state.with_vm(vm, replace(state.vm(vm), backup=unheard))
        return replace(state, daemon=None)


@dataclass(frozen=True, repr=False)
class StopDaemon(_EndDaemon):
    """End libvirtd with SIGTERM; VMs go on."""

    def call(self, state: State) -> Signal:  # noqa: ARG002
        """SIGTERM."""
        return Signal("libvirtd", "TERM")

    def __str__(self) -> str:
        return "stops libvirtd"


@dataclass(frozen=True, repr=False)
class KillDaemon(_EndDaemon):
    """End libvirtd with SIGKILL; VMs go on."""

    def call(self, state: State) -> Signal:  # noqa: ARG002
        """SIGKILL."""
        return Signal("libvirtd", "KILL")

    def __str__(self) -> str:
        return "kills libvirtd"


@dataclass(frozen=True, repr=False)
class StartDaemon(Act):
    """Start libvirtd again on the state that the former one left, or with `upgraded` the newer one of the stack."""

    upgraded: bool = False

    def call(self, state: State) -> Signal:  # noqa: ARG002
        """Start it."""
        return Signal("libvirtd", "UPGRADE" if self.upgraded else "START")

    def after(self, state: State) -> State:
        """One more daemon, which knows all that runs."""
        if state.daemon is not None:
            raise Impossible("libvirtd runs")
        started = replace(state, daemon=state.daemons + 1, daemons=state.daemons + 1)
        return started.with_noise(_AT_START)

    def __str__(self) -> str:
        return "starts libvirtd"


@dataclass(frozen=True, repr=False)
class KillQemu(Act):
    """End the VM's QEMU with SIGKILL: what it had not yet written to its images is lost."""

    vm: str = VM

    def call(self, state: State) -> Signal:  # noqa: ARG002
        """SIGKILL."""
        return Signal("qemu", "KILL", self.vm)

    def after(self, state: State) -> State:
        """Off; what was not flushed is undefined, no more. A daemon that comes later finds its monitor deserted."""
        after = state.with_vm(self.vm, ended(state.endable(self.vm), Death.KILLED))
        if state.daemon is not None:
            return after.with_noise(_CUT_OFF)
        # nobody may hear of this end: then the first "resumed" of the next QEMU is not told from one of this one
        return after.with_turns(self.vm, "resumed?").with_noise(_DESERTED)

    def __str__(self) -> str:
        return f"kills the QEMU of {self.vm}"
