"""What the VMs of a trial are made of, and how they come up: booted, or restored from a saved guest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path, PurePosixPath

from harness.acts.calls import Argument
from harness.journal import Journal, Kind
from harness.oracle.driver import Driver
from harness.oracle.state import State
from harness.stack.sandbox import IMAGES
from harness.vm.domain import Domain
from harness.vm.domain_xml import DiskSpec, Machine, disk_xml, domain_xml
from harness.vm.warm import FELL_BACK, WarmGuests


class Machines:
    """Makes the VMs of `state` of a `machine`; `warm` has the saved guests that they may be restored from, if any.

    `came_up` has how each guest came up, in order; `qemus` are the pids of each VM's QEMUs.
    """

    def __init__(self, machine: Machine, warm: WarmGuests | None, journal: Journal, state: Callable[[], State]) -> None:
        self.machine = machine
        self.warm = warm
        self.came_up: list[str] = []
        self.qemus: dict[str, list[int]] = {}
        self._former: dict[str, str] = {}
        self._journal = journal
        self._state = state
        self._shapes: dict[str, tuple[Machine, Driver]] = {}  # what each is made of

    def definition(self, vm: str, arguments: Mapping[str, Argument]) -> str:
        """The XML of a VM, from the arguments of the call that defines it; without any it is what it was before."""
        if arguments:
            driver = Driver(**{field.name: arguments[field.name] for field in fields(Driver)})  # type: ignore[arg-type]
            self._shapes[vm] = replace(self.machine, root_on_vda=bool(arguments["root_on_vda"])), driver
        return domain_xml(vm, self._shapes[vm][0], self.disks(vm), IMAGES.parent)

    def disks(self, vm: str) -> list[DiskSpec]:
        """The disks of a VM that was defined, as they are now."""
        return [self._spec(vm, target) for target in self._state().vm(vm).disks]

    def _spec(self, vm: str, target: str) -> DiskSpec:
        state = self._state()
        image = state.image(vm, target, state.content(vm, target).active)
        iops = state.vm(vm).throttled_next.get(target, 0)
        return DiskSpec(target, image, driver=self._shapes[vm][1], iops=iops)

    def disk(self, vm: str, target: str) -> str:
        """The XML of one of its disks, plugged in or not."""
        return disk_xml(self._spec(vm, target))

    def saved(self, vm: str) -> Path:
        """The file of the saved guest that fits a VM; raises ValueError if the trial may use none."""
        if self.warm is None:
            raise ValueError("this trial has no saved guests")
        return self.warm.file(self._shapes[vm][0], self.disks(vm), self._sizes(vm), vm)

    def boot(self, domain: Domain) -> None:
        """Boot it."""
        self._keep_log(domain)
        with self._journal.timed("boot"):
            domain.start()
            self._await_disks(domain)
        self._is_up(domain, "booted")

    def bring_up(self, domain: Domain) -> None:
        """Restore it from a saved guest; boot it if that fails. Raises ValueError if the trial may use none."""
        if self.warm is None:
            raise ValueError("this trial has no saved guests: boot the VM")
        name = domain.name
        self._keep_log(domain)
        with self._journal.timed("boot"):
            why = self.warm.bring_up(domain, self._shapes[name][0], self.disks(name), self._sizes(name))
        if why:
            self._await_disks(domain)
            self._journal.record(Kind.NOTE, why)
        self._is_up(domain, FELL_BACK if why else "restored")

    def _await_disks(self, domain: Domain) -> None:
        """Wait until a guest that was booted has its disks: those on a bus that it scans come a little later."""
        for target in self._state().vm(domain.name).disks:
            domain.port.await_disk(target)

    def reset(self, domain: Domain) -> None:
        """Reset it; it is up when its guest has its disks again."""
        domain.reset()
        self._await_disks(domain)

    def restore(self, domain: Domain, file: PurePosixPath | None) -> None:
        """Start it where it was saved: from the file, or from what libvirt has kept."""
        self._keep_log(domain)
        domain.restore(file)
        self._is_up(domain, "restored from where it was saved")

    def revert(self, domain: Domain, snapshot: str, flags: int) -> bool:
        """Have it go back to a snapshot; whether its QEMU is the one that it was before."""
        self._keep_log(domain)
        before = domain.first_qemu_pid if domain.is_on else 0
        domain.revert(snapshot, flags)
        if not domain.is_on:
            return False
        if domain.first_qemu_pid != before:
            self.qemus.setdefault(domain.name, []).append(domain.first_qemu_pid)
        return domain.first_qemu_pid == before

    def _sizes(self, vm: str) -> list[int]:
        return [content.size for content in self._state().vm(vm).disks.values()]

    def log(self, domain: Domain, since: int) -> str:
        """What is in the log of the VM's QEMUs; `since` is the byte at which the first one's began."""
        with domain.daemon.qemu_log(domain.name).open("rb") as log:
            log.seek(since if domain.daemon.mode == "system" else 0)
            return self._former.get(domain.name, "") + log.read().decode(errors="replace")

    def _keep_log(self, domain: Domain) -> None:
        """Keep what the last QEMU wrote: in session mode libvirt empties the log when it starts the next one."""
        if domain.daemon.mode == "session" and self.qemus.get(domain.name):
            domain.state()  # and libvirt has written that it has ended
            self._former[domain.name] = self.log(domain, 0)

    def _is_up(self, domain: Domain, how: str) -> None:
        self.came_up.append(how)
        self.qemus.setdefault(domain.name, []).append(domain.first_qemu_pid)
        self._journal.record(Kind.GUEST, "is ready: its agent has connected")
