"""One scenario's run: its images, its VM, its journal, and the tables measured on the way."""

from __future__ import annotations

import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self

from harness.errors import CheckFailed
from harness.journal import Detail, Journal, Kind
from harness.layers.content import Content
from harness.layers.geometry import Geometry
from harness.layers.rows import read_row
from harness.layers.qemu_img import QemuImg
from harness.layers.reader import Reader
from harness.layers.table import Row, Table, difference
from harness.process import Completed
from harness.stack.daemon import Daemon
from harness.stack.events import Event
from harness.stack.held import HeldCommand
from harness.stack.sandbox import IMAGES
from harness.vm.domain import Domain
from harness.vm.domain_xml import Machine

BASE = "base"


class Trial:
    """Owns /export/images, which is empty at its start and removed at its end, and the domain that runs on it.

    `run` is the id in the markers of this trial: another trial's bytes are foreign to it.
    """

    def __init__(self, daemon: Daemon, machine: Machine, name: str) -> None:
        self.daemon = daemon
        self.machine = machine
        self.name = name
        self.run = secrets.token_hex(4)
        self.journal = Journal()
        self.reader = Reader(daemon.sandbox.outside)
        self.qemu_img = QemuImg(daemon.sandbox.run, daemon.sandbox.outside)
        self.daemon_pid = daemon.pid
        self.daemon_log_start = daemon.log.stat().st_size if daemon.log.exists() else 0
        self.first_event = daemon.events.mark()
        self.expected_log: list[str] = []
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
        size = content.geometry.size
        self.qemu_img.create(IMAGES / f"{BASE}.qcow2", size)
        self.journal.record(Kind.NOTE, f"image {BASE}: qcow2, {size} bytes, empty")
        return content

    def define(self, content: Content, *, root_on_vda: bool = False) -> Domain:
        """Define the VM on the active layer of `content`; it is destroyed and undefined when the trial ends."""
        machine = replace(self.machine, root_on_vda=root_on_vda)
        domain = Domain(self.daemon, machine, content, self.run, self.journal)
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
        with self.journal.timed("verification"):
            seen = self._verified(moment)
        self.journal.record(Kind.TABLE, f"{moment}\n{seen}", {"read by": "the guest, an own qcow2 reader, qemu-img"})
        return seen

    def _verified(self, moment: str) -> Table:
        disk = self.domain.disk
        expected = disk.content.table(guest=self.domain.is_running())
        guest = self._guest_row()
        paths = {image.name: image.path for image in disk.images()}
        for who, reader in (("chainproof's qcow2 reader", self.reader), ("qemu-img", self.qemu_img)):
            rows = reader.measure(paths, disk.content.geometry, self.run, disk.content)
            seen = Table((*rows, *guest), disk.content.geometry)
            wrong = difference(expected, seen)
            if wrong:
                raise CheckFailed(
                    f"the disk's content at {moment} is as the oracle says", f"otherwise, by {who}", wrong
                )
        return seen

    def image_paths(self) -> list[PurePosixPath]:
        """The image files that are there."""
        directory = self.daemon.sandbox.outside(IMAGES)
        return [IMAGES / file.name for file in sorted(directory.iterdir())]

    def _guest_row(self) -> tuple[Row, ...]:
        domain = self.domain
        if not domain.is_running():
            return ()
        # unflushed metadata is in QEMU's cache only: an outside read before a flush would see corruption that is none
        domain.guest.flush()
        data = domain.guest.read_disk()
        content = domain.disk.content
        return (read_row("guest", data, content.geometry, self.run, content.guest()),)

    def _heard(self, event: Event) -> None:
        self.journal.record(Kind.EVENT, f"libvirt: {event}")
