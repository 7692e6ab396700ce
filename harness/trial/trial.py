"""One scenario's run: its images, its VM, its journal, and the tables measured on the way."""

from __future__ import annotations

import secrets
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from harness.errors import CheckFailed
from harness.journal import Detail, Journal, Kind
from harness.oracle import pattern
from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.table import Row, Table, difference
from harness.process import Completed
from harness.readers.nbd_reader import NbdReader
from harness.readers.offline import Offline
from harness.readers.own import Reader
from harness.readers.qemu_img import QemuImg
from harness.readers.rows import read_row
from harness.stack.appliance import appliance_sandbox, built_appliance
from harness.stack.daemon import GUEST, Daemon
from harness.stack.events import Event
from harness.stack.held import HeldCommand
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import IMAGES, image_path
from harness.vm.domain import Domain
from harness.vm.domain_xml import Machine
from harness.vm.guest import Guest
from harness.vm.warm import FELL_BACK, WarmGuests

BASE = "base"
CELL = 65536


class Trial:
    """Owns /export/images, which is empty at its start and removed at its end, and the domain that runs on it.

    `run` is the id in the markers of this trial: another trial's bytes are foreign to it. `warm` has the saved guests
    that it may start from; None boots.
    """

    def __init__(self, daemon: Daemon, machine: Machine, name: str, cache: Path, warm: WarmGuests | None) -> None:
        self.daemon = daemon
        self.cache = cache
        self.warm = warm
        self.machine = machine
        self.name = name
        self.run = secrets.token_hex(4)
        self.journal = Journal()
        self.reader = Reader(daemon.sandbox.outside)
        self.storage = NbdReader(daemon.storage, self.reader.backing)
        self.qemu_img = QemuImg(daemon.sandbox.run, daemon.sandbox.outside)
        self.daemon_pid = daemon.pid
        self.daemon_log_start = daemon.log.stat().st_size if daemon.log.exists() else 0
        self.first_event = daemon.events.mark()
        self.expected_log: list[str] = []
        self.guests: list[str] = []  # how each came up
        self._domain: Domain | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        directory = self.daemon.sandbox.outside(IMAGES)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        listeners = self.daemon.events.listeners
        listeners.append(self._heard)
        self._stack.callback(listeners.remove, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stack.close()
        finally:
            shutil.rmtree(self.daemon.sandbox.outside(IMAGES), ignore_errors=True)

    @property
    def domain(self) -> Domain:
        """The trial's VM; raises ValueError before `define`."""
        if self._domain is None:
            raise ValueError("the trial has defined no domain yet")
        return self._domain

    @property
    def has_domain(self) -> bool:
        """True once `define` was called."""
        return self._domain is not None

    def create_base(self, geometry: Geometry | None = None) -> Content:
        """Make the empty image `base` (qcow2, a file of its own) and return its content."""
        content = Content.new(BASE, geometry)
        size = content.geometry.disk_size
        self.qemu_img.create(self.path(BASE), size)
        self.journal.record(Kind.NOTE, f"image {BASE}: qcow2, {size} bytes, empty")
        return content

    def create_root_base(self) -> Content:
        """Make `base` a full copy of the guest's root file system; the oracle knows its chain, not its bytes."""
        self.qemu_img.convert(GUEST / "root.ext4", self.path(BASE))
        size = self.reader.size(self.path(BASE))
        self.journal.record(Kind.NOTE, f"image {BASE}: qcow2, {size} bytes, the guest's root file system")
        return Content.new(BASE, Geometry(cells=size // CELL, cell_size=CELL))

    def lay_offline(self, layers: Sequence[tuple[str, str, Sequence[int]]]) -> Content:
        """Make a chain of (image, label, cells) without a VM: each marker is written into its image by libguestfs.

        The images get their backing files after that: QEMU would not let one appliance write to all layers of a chain.
        """
        content = Content.new(BASE)
        geometry = content.geometry
        for name, _, _ in layers:
            self.qemu_img.create(self.path(name), geometry.size)
        with self.offline({self.path(name): False for name, _, _ in layers}) as guestfs:
            for name, label, cells in layers:
                blocks = [
                    (offset, pattern.fill(label, self.run, offset, length, geometry.cell_size))
                    for offset, length in geometry.stretches(cells)
                ]
                guestfs.write(self.path(name), blocks)
                content = content.write(label, cells) if name == BASE else content.snapshot(name).write(label, cells)
                self.journal.record(
                    Kind.NOTE, f"libguestfs {guestfs.version} wrote {label} into cells {cells} of {name}"
                )
        for (below, _, _), (name, _, _) in pairwise(layers):
            self.qemu_img.set_backing(self.path(name), self.path(below))
        return content

    def verify_offline(self, moment: str) -> Table:
        """Hold what every image shows, read by libguestfs, to the oracle. The VM must be shut off."""
        disk = self.domain.disk
        content = disk.content
        with self.journal.timed("verification"), self.offline({image.path: True for image in disk.images()}) as guestfs:
            rows = [
                read_row(image.name, guestfs.shows(image.path), content.geometry, self.run, content.shows(image.name))
                for image in disk.images()
            ]
        seen = Table(tuple(rows), content.geometry)
        wrong = difference(content.table(guest=False).without_contents(), seen)
        if wrong:
            raise CheckFailed(f"every layer shows at {moment} what the oracle says", "otherwise, by libguestfs", wrong)
        self.journal.record(Kind.TABLE, f"{moment}\n{seen}", {"read by": f"libguestfs {guestfs.version}"})
        return seen

    def remove(self, *names: str) -> None:
        """Delete image files that the chain no longer needs."""
        disk = self.domain.disk
        for name in names:
            self.daemon.sandbox.outside(disk.path(name)).unlink()
            disk.content = disk.content.remove(name)
        self.journal.record(Kind.ACT, f"removes {', '.join(names)}")

    def expect_in_log(self, pattern: str, why: str) -> None:
        """An error line of the daemon that matches `pattern` is no finding in this trial; `why` says the reason."""
        self.expected_log.append(pattern)
        self.journal.record(Kind.NOTE, f"the daemon may log {pattern!r}: {why}")

    def offline(self, drives: Mapping[PurePosixPath, bool]) -> Offline:
        """libguestfs over these images (to whether they are read-only); enter it to launch its appliance."""
        daemon = self.daemon
        work = daemon.directory.parent
        appliance = built_appliance(self.cache / "guestfs", daemon.guest, work)
        directory = RunDirectory(work)
        exported = daemon.sandbox.outside(IMAGES.parent)
        sandbox = appliance_sandbox(directory, exported, daemon.guest, appliance, kvm=daemon.kvm)
        return Offline(sandbox, drives)

    def path(self, name: str) -> PurePosixPath:
        """Where the image of this name lies, as the stack sees it."""
        return image_path(name)

    def define(self, content: Content, *, root_on_vda: bool = False) -> Domain:
        """Define the VM on the active layer of `content`; it is destroyed and undefined when the trial ends.

        With `root_on_vda` the guest lives on the disk, and the bytes on it are its own.
        """
        machine = replace(self.machine, root_on_vda=root_on_vda)
        domain = Domain(self.daemon, machine, content, self.run, self.journal)
        domain.disk.opaque = root_on_vda
        self._domain = self._stack.enter_context(domain)
        return domain

    def type(self, line: str) -> Completed:
        """Run a command line inside the stack as a person would type it there; its exit status is not checked."""
        done = self.daemon.sandbox.run(shlex.split(line), timeout=120)
        self.typed(line, done)
        return done

    def typed(self, line: str, done: Completed) -> None:
        """Enter a command that was typed, and what it printed."""
        detail: Detail = {"output": done.output, "exit status": done.exit_status, "seconds": round(done.seconds, 3)}
        self.journal.record(Kind.COMMAND, line, detail)

    def bring_up(self) -> Guest:
        """Start the domain for the first time: restored where the trial may and the guest does not live on the disk."""
        if self.warm is None or self.domain.disk.opaque:
            self.guests.append("booted")
            return self.domain.start()
        failed = self.warm.booted
        guest = self.warm.bring_up(self.domain)
        self.guests.append("restored" if self.warm.booted == failed else FELL_BACK)
        return guest

    def step(self, text: str) -> None:
        """Begin a numbered step of a documented procedure."""
        self.journal.record(Kind.STEP, text)

    @contextmanager
    def hold(self, line: str) -> Iterator[HeldCommand]:
        """Type a command line on a terminal that is stopped (as with Ctrl-S): see HeldCommand.

        In the body the command waits at the first thing that it says on stderr; afterwards it goes on to its end.
        """
        self.journal.record(Kind.COMMAND, line)
        with HeldCommand(self.daemon.sandbox, shlex.split(line)) as held:
            yield held
            done = held.release()
        self.journal.record(Kind.OUTPUT, line, {"output": done.output, "exit status": done.exit_status})

    def verify(self, moment: str) -> Table:
        """Measure every image, and the guest if it runs, in two independent ways, and hold it to the oracle.

        Returns the table as measured and enters it in the journal. Raises CheckFailed with the cells that differ.
        """
        if self.domain.disk.opaque:
            raise ValueError("the guest's own bytes are on the disk: there is no table to verify")
        with self.journal.timed("verification"):
            seen = self._verified(moment)
        self.journal.record(
            Kind.TABLE, f"{moment}\n{seen}", {"read by": "the guest, an own qcow2 reader, QEMU over NBD"}
        )
        return seen

    def verify_guest(self, moment: str) -> None:
        """Hold what the guest sees to the oracle, where the images cannot be: a mirror that is on writes them late."""
        content = self.domain.disk.content
        with self.journal.timed("verification"):
            rows = tuple(row for row in content.table().rows if row.name == "guest")
            seen = Table(self._guest_row(), content.geometry)
            wrong = difference(Table(rows, content.geometry), seen)
        if wrong:
            raise CheckFailed(f"the guest sees at {moment} what the oracle says", "otherwise", wrong)
        self.journal.record(Kind.TABLE, f"{moment}\n{seen}", {"read by": "the guest"})

    def _verified(self, moment: str) -> Table:
        disk, running = self.domain.disk, self.domain.is_running()
        content = disk.content
        paths = {image.name: image.path for image in disk.images()}
        if running:
            # unflushed metadata is in QEMU's cache only: an outside read before would see corruption that is none
            self.domain.guest.flush()
        with ThreadPoolExecutor(2) as aside:  # while QEMU reads for us, the guest reads its device, and we the images
            guest = aside.submit(self._guest_row)
            own = aside.submit(self.reader.measure, paths, content.geometry, self.run, content)
            by_qemu = self.storage.measure(paths, content.geometry, self.run, content)
        read = (("chainproof's qcow2 reader", own.result()), ("QEMU over NBD", by_qemu))
        expected = content.table(guest=running)
        for who, rows in read:
            seen = Table((*rows, *guest.result()), content.geometry)
            wrong = difference(expected, seen)
            if wrong:
                claim = f"the disk's content at {moment} is as the oracle says"
                raise CheckFailed(claim, f"otherwise, by {who}", wrong)
        return seen

    def image_paths(self) -> list[PurePosixPath]:
        """The image files that are there."""
        directory = self.daemon.sandbox.outside(IMAGES)
        return [IMAGES / file.name for file in sorted(directory.iterdir())]

    def _guest_row(self) -> tuple[Row, ...]:
        domain = self.domain
        if not domain.is_running():
            return ()
        data = domain.guest.read_disk(domain.disk.content.geometry.size)
        content = domain.disk.content
        return (read_row("guest", data, content.geometry, self.run, content.guest()),)

    def _heard(self, event: Event) -> None:
        self.journal.record(Kind.EVENT, f"libvirt: {event}")
