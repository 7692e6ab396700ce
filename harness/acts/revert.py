"""Going back to a snapshot: disks show what they did at its instant, and the guest goes on from there, if it can."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from harness.acts.act import VM, Act
from harness.acts.calls import Libvirt, WentBack, chosen
from harness.acts.power import ended
from harness.oracle.content import Impossible
from harness.oracle.image import File
from harness.oracle.state import Death, Power, SnapshotRecord, State, VmState


@dataclass(frozen=True, repr=False)
class RevertToSnapshot(Act):
    """Go back to a snapshot: its guest goes on from its memory, or the VM is off, unless it is to be `running`.

    With `paused` the guest stands still there, or before it boots. Of an external one the disks are on new overlays
    (`dests`, by disk) of what was active at the instant; what was written since the current snapshot is gone, with the
    overlays that it was in. Overlays that came after one inside an image stay. With `force` libvirt does it where it
    would rather not.
    """

    name: str
    dests: tuple[tuple[str, str], ...] = ()
    running: bool = False
    paused: bool = False
    force: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainRevertToSnapshot."""
        flags = chosen(RUNNING=self.running, PAUSED=self.paused, FORCE=self.force)
        return Libvirt("virDomainRevertToSnapshot", self.vm, {"name": self.name}, flags)

    def after(self, state: State) -> State:
        """Each disk shows what it did at the instant."""
        state.served()
        machine = state.vm(self.vm)
        if self.name not in machine.snapshots:
            raise Impossible(f"{self.vm} has no snapshot {self.name}")
        record = machine.snapshots[self.name]
        self._require(state, record)
        state = self._inside(state, record) if record.inside else self._on_overlays(state, record)
        gone_back = replace(state.vm(self.vm), current=self.name)
        gone_back = ended(gone_back, Death.REVERTED) if machine.is_on else gone_back
        return self._powered(state.with_vm(self.vm, gone_back), record)

    def _inside(self, state: State, record: SnapshotRecord) -> State:
        for disk, content in state.vm(self.vm).disks.items():
            state = state.with_disk(self.vm, disk, content.go_back(self.name, record.chains[disk]))
        return state

    def _on_overlays(self, state: State, record: SnapshotRecord) -> State:
        for disk, dest in self.dests:
            state.require_free(dest)
            content = state.content(self.vm, disk)
            state = state.with_disk(self.vm, disk, content.reverted(record.below[disk], dest))
        machine = state.vm(self.vm)
        known = {**machine.snapshots, self.name: replace(record, overlays=dict(self.dests))}
        return state.with_vm(self.vm, replace(machine, snapshots=known))

    def _powered(self, state: State, record: SnapshotRecord) -> State:
        """The state with the VM as it goes on."""
        machine = state.vm(self.vm)
        default = record.power if record.has_memory else Power.OFF
        power = Power.RUNNING if self.running else Power.PAUSED if self.paused else default
        if power is Power.OFF:
            return state
        boot = record.boot if record.has_memory else machine.boot + 1
        on = replace(machine, power=power, boot=boot, qemu=machine.qemu + 1, throttled=machine.throttled_next)
        # libvirt 7.0 goes back within the same QEMU; a new one is started paused
        turns = ("suspended?", "resumed?") if power is Power.RUNNING else ("suspended?",)
        return state.with_vm(self.vm, on).with_turns(self.vm, *turns)

    def _require(self, state: State, record: SnapshotRecord) -> None:
        machine = state.vm(self.vm)
        if self.running and self.paused:
            raise Impossible("running and paused exclude each other")
        if machine.checkpoints or any(content.bitmaps for content in machine.disks.values()):
            raise Impossible(f"{self.vm} has checkpoints, or bitmaps that are left of them")
        if not machine.persistent or machine.saved:
            raise Impossible(f"{self.vm} is transient, or saved")
        if machine.service != record.service:
            raise Impossible(f"{self.vm} had other limits or another driver then")
        state.without_backup(self.vm)
        if set(record.below) != set(machine.disks):
            raise Impossible(f"a snapshot of {', '.join(record.below)} is not of all its disks")
        for disk, content in machine.disks.items():
            if content.job is not None:
                raise Impossible(f"{disk} has a job")
        if record.inside:
            self._require_inside(machine, record)
        else:
            self._require_external(machine, record)

    def _require_inside(self, machine: VmState, record: SnapshotRecord) -> None:
        if self.dests:
            raise Impossible(f"{self.name} is inside its images: it takes no overlays")
        for disk, content in machine.disks.items():
            gone = [name for name in record.chains[disk] if name not in content.files()]
            if gone:
                raise Impossible(f"{', '.join(gone)} of {disk} is not there")
            content.go_back(self.name, record.chains[disk])

    def _require_external(self, machine: VmState, record: SnapshotRecord) -> None:
        current = machine.snapshots[machine.current].overlays if machine.current else {}
        for disk, content in machine.disks.items():
            if current.get(disk) != content.active:
                raise Impossible(f"{disk} goes on in {content.active}, which is of no snapshot that is current")
            if record.below[disk] not in content.files() or not content.readable(record.below[disk]):
                raise Impossible(f"{record.below[disk]} of {disk} is not there")
        if set(dict(self.dests)) != set(machine.disks):
            raise Impossible(f"a snapshot of {', '.join(record.below)} is reverted to on all of them")

    def learned(self, after: State, answer: object) -> State:
        """libvirt names the new overlays by the time, and up to 7.0 has the guest go back in the QEMU that there is."""
        if not isinstance(answer, WentBack):
            return after
        stores = {dest: File(PurePosixPath(answer.places[disk])) for disk, dest in self.dests}
        if answer.same_qemu:
            machine = after.vm(self.vm)
            after = after.with_vm(self.vm, replace(machine, qemu=machine.qemu - 1, deaths=machine.deaths[:-1]))
        return replace(after, stores={**after.stores, **stores})

    def __str__(self) -> str:
        how = ", and runs" if self.running else ", and stands still" if self.paused else ""
        return f"goes back to the snapshot {self.name}{how}"
