"""One scenario's run: its images, its VMs, its journal, and the words that scenarios speak."""

from __future__ import annotations

import secrets
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

import libvirt

from harness.acts.act import VM, Act
from harness.acts.calls import Libvirt
from harness.acts.images import AdoptImage, ConvertImage, CreateImage, LeaveFile, Rebase, RemoveImage, WriteImage
from harness.acts.power import Define
from harness.crash.recording import Recording
from harness.errors import ChainproofError
from harness.journal import Detail, Journal, Kind
from harness.oracle.driver import DRIVER, Driver
from harness.oracle.geometry import Geometry
from harness.oracle.image import QCOW2, File, Format, Image
from harness.oracle.state import DIRECTORY, SERVER, State
from harness.oracle.table import Table
from harness.process import Completed
from harness.readers.nbd_reader import NbdReader
from harness.readers.own import Reader
from harness.readers.qemu_img import QemuImg
from harness.stack.block_devices import BlockDevices
from harness.stack.certificates import PLACE, certify
from harness.stack.configuration import SOCKETS, uri_of
from harness.stack.daemon import GUEST, Daemon
from harness.stack.events import Event, EventKind
from harness.stack.held import HeldCommand
from harness.stack.image_server import ImageServer
from harness.stack.sandbox import IMAGES
from harness.stack.storage_faults import StorageFaults
from harness.storage import tool
from harness.storage.images import file_image
from harness.storage.stores import path_of
from harness.trial import looking, measure
from harness.trial.appliances import appliance, written_together
from harness.trial.files import Files
from harness.trial.machines import Machines
from harness.trial.measure import Readers
from harness.trial.nouns import Disk, Job, Vm
from harness.trial.stage import Outcome, Sighting, Stage
from harness.vm.domain_xml import Machine
from harness.vm.hands import BindingHand, IndexHand, PathHand, Things, VirshHand
from harness.vm.offline import OfflineWriter
from harness.vm.warm import WarmGuests
from harness.waiting import well

BASE = "base"
CELL = 65536
TYPED = "typed"
"""What the journal calls a person who types."""


class Trial:
    """Owns /export/images, which is empty at its start and removed at its end, and the domains that run on it.

    `run` is the id in the markers of this trial: another trial's bytes are foreign to it. `machine` is what its domains
    are made of, `warm` has the saved guests that they may start from; None boots. `appliances` is where libguestfs's
    appliance is kept.
    """

    def __init__(self, daemon: Daemon, machine: Machine, name: str, appliances: Path, warm: WarmGuests | None) -> None:
        self.daemon = daemon
        self.appliances = appliances
        self.name = name
        self.run = secrets.token_hex(4)
        self.journal = Journal()
        self.reader = Reader(daemon.sandbox.outside, daemon.sandbox.outside(IMAGES))
        self.qemu_img = QemuImg(daemon.sandbox.run, daemon.sandbox.outside, daemon.sandbox.outside(IMAGES))
        self.readers = Readers(self.reader, NbdReader(daemon.storage, self.reader), self.qemu_img, self.run)
        self.daemon_log_start = daemon.log.stat().st_size if daemon.log.exists() else 0
        logs = daemon.qemu_log(VM).parent.glob("*.log")
        self._qemu_logs = {log: log.stat().st_size for log in logs}
        self.first_event = daemon.events.mark()
        self.first_end = len(daemon.sandbox.ends())
        self.machines = Machines(machine, warm, self.journal, lambda: self.state)
        self.recording = Recording(daemon.recorded, self.run) if daemon.recorded else None
        self.files = Files(daemon.sandbox.outside(IMAGES))
        self._vms: dict[str, Vm] = {}
        self._stack = ExitStack()
        self.things = Things(
            daemon,
            self.run,
            self.machines.definition,
            self.machines.disk,
            self.machines.boot,
            self.machines.bring_up,
            self.machines.restore,
            self.machines.revert,
            self.machines.reset,
            OfflineWriter(
                lambda images: appliance(daemon, appliances, images, readonly=False),
                lambda place: written_together(self.state, place),
            ),
            ImageServer(daemon.sandbox, SERVER),
            BlockDevices(daemon.sandbox),
            StorageFaults(daemon.record),
            self._note,
        )
        self.stage = Stage(
            self.journal,
            {hand.name: hand for hand in (make(self.things) for make in (BindingHand, VirshHand, PathHand, IndexHand))},
            self._look,
        )
        if self.recording is not None:
            self.stage.listeners.append(self.recording)

    def __enter__(self) -> Self:
        directory = self.daemon.sandbox.outside(IMAGES)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        if self.recording is not None:
            self.recording.reset()
        listeners = self.daemon.events.listeners
        listeners.append(self._enter_event)
        self._stack.callback(listeners.remove, self._enter_event)
        self.journal.listeners.append(self.files.after)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.state.secrets:
            self._stack.callback(self._forget_secrets)
        self._stack.callback(self.things.devices.close)
        self._stack.callback(self.things.faults.close)
        self._stack.callback(self.things.server.close)
        try:
            for domain in self.things.domains.values():
                self._stack.push(domain)
            self._stack.callback(self.things.offline.settle)
            self._stack.close()
        finally:
            self.things.domains.clear()
            shutil.rmtree(self.daemon.sandbox.outside(IMAGES), ignore_errors=True)

    def another(self) -> Trial:
        """A new trial like this one, which is over: its VMs are gone, and its images."""
        self.__exit__(None, None, None)
        return Trial(self.daemon, self.machines.machine, self.name, self.appliances, self.machines.warm)

    # what there is

    @property
    def state(self) -> State:
        """What must be true now."""
        return self.stage.state

    @property
    def vms(self) -> tuple[Vm, ...]:
        """The VMs that are defined, in the order in which they were."""
        return tuple(map(self.vm, self.things.domains))

    def vm(self, name: str = VM) -> Vm:
        """The VM of this name; raises ValueError before `define`."""
        self.things.domain(name)
        return self._vms.setdefault(name, Vm(self.stage, self.things, name, lambda: self.machines.warm is not None))

    def path(self, name: str) -> PurePosixPath:
        """Where the image of this name lies, as the stack sees it."""
        return self.state.path(name)

    def image_paths(self) -> list[PurePosixPath]:
        """The files that lie where images do."""
        directory = self.daemon.sandbox.outside(IMAGES)
        return [IMAGES / file.name for file in sorted(directory.iterdir())]

    def qemu_log(self, vm: Vm) -> str:
        """What was written into the log of the VM's QEMUs since the trial began."""
        return self.machines.log(vm.domain, self._qemu_logs.get(self.daemon.qemu_log(vm.name), 0))

    # what is done

    def do(self, *acts: Act, by: str = "") -> None:
        """Perform acts: see Stage.do. `by` names a hand: "binding" by default, or "virsh"."""
        self.stage.do(*acts, by=by)

    def attempt(self, act: Act) -> Outcome:
        """Perform an act that may fail: see Stage.attempt."""
        return self.stage.attempt(act)

    def refused(self, act: Act, text: str, *, by: str = "") -> None:
        """Perform an act that must be refused with words that match `text`, and verify that nothing changed."""
        self.stage.refused(act, text, by=by)
        self.verify(f"{act!r} is refused")

    def create_base(
        self,
        geometry: Geometry | None = None,
        *,
        disk: str = "vda",
        name: str = BASE,
        form: Format = QCOW2,
        vm: str = VM,
    ) -> None:
        """Make the empty first image of a disk."""
        self.do(CreateImage(name, disk, geometry or Geometry(), form, vm=vm))

    def adopt(self, path: PurePosixPath, *, disk: str = "vda", form: Format = QCOW2, vm: str = VM) -> None:
        """Take an image that exists as the first one of a disk; the oracle knows its chain, not its bytes."""
        image = Image(path.stem, form, File(path))
        size = self.reader.size(image)
        cells, tail = divmod(size, CELL)
        geometry = Geometry(cells, CELL, min(4096, form.unit or 4096), tail)
        self.do(AdoptImage(image.name, image.store, geometry, form, disk, vm))

    def adopt_new(self, name: str, disk: str, size: int) -> None:
        """Make an image whose bytes the oracle does not know, as the first one of a disk."""
        image = file_image(DIRECTORY, name)
        path = path_of(image.store)
        assert path is not None
        self.do(LeaveFile(tool.create(image, size), str(path)))
        self.adopt(path, disk=disk)

    def create_root_base(self) -> None:
        """Make `base` a full copy of the guest's root file system; the oracle knows its chain, not its bytes."""
        root = GUEST / "root.ext4"
        size = (self.daemon.guest / root.name).stat().st_size
        self.do(ConvertImage(BASE, str(root), Geometry(cells=size // CELL, cell_size=CELL)))

    def lay_offline(self, layers: Sequence[tuple[str, str, Sequence[int]]]) -> None:
        """Make a chain of (image, label, cells) without a VM: each marker is written into its image by libguestfs.

        The images get their backing files after that: QEMU would not let one appliance write to all layers of a chain.
        """
        self.do(*(CreateImage(name) for name, _, _ in layers))
        self.do(*(WriteImage(name, label, tuple(cells)) for name, label, cells in layers))
        self.do(*(Rebase(name, below) for (below, _, _), (name, _, _) in pairwise(layers)))

    def _forget_secrets(self) -> None:
        """Have libvirt know no secret any more; a daemon that is gone, or ill, is not used again."""

        def forget(connection: libvirt.virConnect) -> None:
            for secret in connection.listAllSecrets():
                secret.undefine()

        with suppress(ChainproofError, libvirt.libvirtError, ValueError):
            self.daemon.call("the end of secrets", forget)

    def define(self, *, root_on_vda: bool = False, driver: Driver = DRIVER, vm: str = VM) -> Vm:
        """Define a VM on the active layers of its disks; it is destroyed and undefined when the trial ends.

        With `root_on_vda` the guest lives on the disk, and the bytes on it are its own.
        """
        self.do(Define(root_on_vda, driver, vm))
        return self.vm(vm)

    def remove(self, *names: str) -> None:
        """Delete image files that no chain needs any more."""
        self.do(*map(RemoveImage, names))

    def filled(self, command: Sequence[str]) -> tuple[str, ...]:
        """A command of others, with where it finds libvirt in place of {uri}."""
        uri = uri_of(self.daemon.mode, SOCKETS)
        return tuple(uri if word == "{uri}" else word for word in command)

    def shown(self, path: str) -> bytes:
        """What an image shows that others have made, at `path` as the stack sees it."""
        return self.reader.shows(Image(PurePosixPath(path).stem, QCOW2, File(PurePosixPath(path))))

    def certify(self) -> None:
        """Make certificates for QEMU's servers, and an authority of which a client knows."""
        certify(self.daemon.sandbox.outside(PLACE))

    def put(self, name: str, text: str) -> None:
        """Put a file of this name into /export, for a line that is typed."""
        self.daemon.sandbox.outside(IMAGES.parent / name).write_text(text)

    def step(self, text: str) -> None:
        """Begin a numbered step of a documented procedure."""
        self.journal.record(Kind.STEP, text)

    def type(self, line: str, means: Act | None = None) -> Completed:
        """Run a command line inside the stack as a person would type it there; its exit status is not checked.

        A line that changes something says what it `means`: then it must succeed, or CommandFailed is raised.
        """
        words = shlex.split(line)
        if means is None:
            done = self.daemon.sandbox.run(words, timeout=120)
            self.journal.record(Kind.COMMAND, line, printed(done))
            return done
        call = means.call(self.state)
        if isinstance(call, Libvirt):
            idle = [disk for disk, content in self.state.vm(call.vm).disks.items() if content.job is None]
            for disk in idle:
                self.things.jobs.expect(self.things.domain(call.vm), disk)
        with self.stage.entered(Kind.COMMAND, line, means, TYPED) as entry:
            done = self.daemon.sandbox.run(words, timeout=120)
            entry.detail = printed(done)
            return done.check()

    @contextmanager
    def hold(self, line: str, means: Act, ends: Act, *, fails: bool = False) -> Iterator[HeldCommand]:
        """Type a command line that begins a job, on a terminal that is stopped (as with Ctrl-S): see HeldCommand.

        In the body the command waits at the first thing that it prints on stderr: it `means` that the job is begun;
        afterwards it goes on to its end, which is what `ends` says. Its exit status must be 0, or 1 if it `fails`: then
        the job does not end by itself, and is known to libvirt when the body begins. Raises CommandFailed.
        """
        call = means.call(self.state)
        if not isinstance(call, Libvirt):
            raise TypeError(f"{means!r} begins no job")
        self.things.jobs.expect(self.things.domain(call.vm), str(call.args["disk"]))
        with HeldCommand(self.daemon.sandbox, shlex.split(line)) as held:
            with self.stage.entered(Kind.COMMAND, line, means, TYPED) as entry:
                entry.detail = {"held": True, **({"fails": True} if fails else {})}
            self.things.jobs.ailment = held.ailment
            try:
                if fails:
                    self.things.jobs.await_begun(self.things.domain(call.vm), str(call.args["disk"]))
                yield held
            finally:
                self.things.jobs.ailment = well
            with self.stage.entered(Kind.OUTPUT, line, ends, TYPED) as entry:
                done = held.release()
                entry.detail = {**printed(done), **({"interrupted": True} if held.interrupted else {})}
                done.check(int(fails))

    def job(self, disk: Disk) -> Job:
        """The job of a disk that a typed line has begun."""
        return Job(disk)

    # what is measured

    def verify(self, moment: str) -> Table:
        """Measure every image of every disk, and the guests that run, in two independent ways; hold it to the oracle.

        Returns the table of the first disk as measured, and enters each in the journal. Raises CheckFailed with the
        cells that differ.
        """
        return self._measured(lambda disk: measure.verify(disk, moment, self.readers))

    def verify_guest(self, moment: str) -> Table:
        """Hold what the guests see to the oracle, where the images cannot be: a mirror that is on writes them late."""
        return self._measured(lambda disk: measure.verify_guest(disk, moment, self.readers))

    def verify_backup(self, moment: str) -> Table:
        """Hold what a backup in pull mode serves, of each of its disks, to the instant at which it began."""
        backups = [(vm, vm.state.backup) for vm in self.vms if vm.state.backup]
        if not backups:
            raise ValueError("no backup is on")
        disks = [vm.disk(target) for vm, backup in backups if backup for target in backup.disks]
        tables = [measure.verify_backup(disk, moment, self.readers) for disk in disks]
        return tables[0]

    def slow_client(self, moment: str, disk: Disk) -> AbstractContextManager[Callable[[Iterable[int]], None]]:
        """A client that reads a disk that a backup serves, these cells at a time; in the end it is as verify_backup."""
        return measure.slow_client(disk, moment, self.readers)

    def verify_offline(self, moment: str) -> Table:
        """Hold what every image shows, read by libguestfs, to the oracle. The VMs must be shut off."""
        images = [image for vm in self.vms for disk in vm.all_disks for image in disk.images()]
        with appliance(self.daemon, self.appliances, images, readonly=True) as guestfs:
            return self._measured(lambda disk: measure.verify_offline(disk, moment, guestfs, self.run))

    def _measured(self, look: Callable[[Disk], Table]) -> Table:
        disks = [disk for vm in self.vms for disk in vm.all_disks if not disk.opaque]
        if not disks:
            raise ValueError("the guest's own bytes are on every disk: there is no table to verify")
        self.things.devices.flush()
        tables = [look(disk) for disk in disks]
        return tables[0]

    # how it is done

    def _look(self, state: State | None) -> Sighting:
        if state is not None:
            return looking.expected(state)
        return looking.seen(self.things, daemon_runs=self.state.daemon is not None)

    def _note(self, text: str) -> None:
        self.journal.record(Kind.NOTE, text)

    def _enter_event(self, event: Event) -> None:
        if event.kind is not EventKind.QEMU:  # they tell why, in the evidence; what is told, libvirt tells
            self.journal.record(Kind.EVENT, f"libvirt: {event}")


def printed(done: Completed) -> Detail:
    """What a command printed, for the journal."""
    return {"output": done.output, "exit status": done.exit_status, "seconds": round(done.seconds, 3)}
