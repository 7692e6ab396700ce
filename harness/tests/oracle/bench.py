"""A stage without a VM: acts are done to real images by QEMU's storage daemon (live) or by its tools (offline)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self
from xml.etree import ElementTree

from harness.acts.act import Act
from harness.acts.calls import Await, Call, Guest, Host, Libvirt, Signal
from harness.acts.guest import Discard, Write, Zero
from harness.acts.images import CreateImage
from harness.acts.power import Define, Start
from harness.acts.snapshot import Snapshot
from harness.journal import Journal
from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.image import File, Format, Image, Qcow2
from harness.oracle.pattern import fill
from harness.oracle.state import DIRECTORY
from harness.oracle.table import Table, difference
from harness.storage.formats import create_options
from harness.tests.oracle.storage_daemon import StorageDaemon
from harness.tests.oracle.tools import READER, RUN, qemu_img, qemu_io
from harness.trial.stage import Stage


class Bench:
    """A disk vda of a VM that is said to run, whose images lie in `directory`; `hand` does what is done to it."""

    def __init__(self, directory: Path, hand: Callable[[Bench], BenchHand], geometry: Geometry, form: Format) -> None:
        self.directory = directory
        self.hand = hand(self)
        self.stage = Stage(Journal(), {self.hand.name: self.hand}, lambda _: {})
        self._stack = ExitStack()
        self._first = (CreateImage("l0", geometry=geometry, format=form), Define(), Start())

    def __enter__(self) -> Self:
        self._stack.enter_context(self.hand)
        self.do(*self._first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def content(self) -> Content:
        """What must be true of the images."""
        return self.stage.state.disk("vm1", "vda")

    def do(self, *acts: Act) -> None:
        """Do acts."""
        self.stage.do(*acts)

    def snapshot(self, overlay: str, form: Format | None = None) -> None:
        """Make an overlay, of another format than its base if that is given."""
        if form is not None:
            self.do(CreateImage(overlay, format=form, backing=self.content.active))
        self.do(Snapshot("vda", overlay, reuse=form is not None))

    def guest(self, chance: random.Random, count: int = 4) -> None:
        """Random writes, zeros and discards of whole and partial cells."""
        geometry = self.content.geometry
        for _ in range(count):
            start = chance.randrange(geometry.parts)
            length = min(chance.choice([1, 2, 5, 8, 16, 32]), geometry.parts - start)
            ranges = ((start * geometry.part_size, length * geometry.part_size),)
            match chance.choice(["write", "write", "write", "zero", "discard"]):
                case "write":
                    label = f"{chance.choice('ABCDEFGH')}{chance.randrange(100)}"
                    self.do(Write("vda", label, ranges=ranges))
                case "zero":
                    self.do(Zero("vda", ranges=ranges, as_data=chance.random() < 0.2))
                case _:
                    self.do(Discard("vda", ranges=ranges))

    def path(self, name: str) -> Path:
        """Where an image lies."""
        return self.here(self.stage.state.path(name))

    def here(self, place: PurePosixPath | str) -> Path:
        """A path in the state, as it is in the directory."""
        return self.directory / PurePosixPath(place).name

    def seen(self) -> Table:
        """The table as our own reader measures it; the disk is flushed before."""
        if self.stage.state.vm("vm1").is_on:
            self.hand.flush()
        return Table(READER.measure(self.images(), self.content.geometry, RUN, self.content), self.content.geometry)

    def images(self) -> list[Image]:
        """All images, where they lie here."""
        state = self.stage.state
        images = [state.image("vm1", "vda", name) for name in self.content.files()]
        return [replace(image, store=File(PurePosixPath(self.path(image.name)))) for image in images]

    def difference(self, content: Content | None = None) -> str:
        """What the reader sees against the oracle, or another idea of it; with the acts that led there."""
        words = difference((content or self.content).table(guest=False), self.seen())
        return words and "\n".join([words, *(repr(dict(entry.act)) for entry in self.stage.journal.entries)])


class BenchHand:
    """What both hands do alike: images are made with qemu-img, patterns lie in files."""

    name = ""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def perform(self, call: Call) -> None:
        """Do it."""
        match call:
            case Host(command):
                for words in filter(None, (command, call.then)):
                    qemu_img(*(word.replace(f"{DIRECTORY}/", f"{self.bench.directory}/") for word in words[1:]))
            case Guest():
                self.guest(call)
            case Libvirt():
                getattr(self, call.function)(call)
            case Await():
                self.wait(call.status)
            case Signal():
                self.kill()

    def guest(self, call: Guest) -> None:
        """The guest does something."""
        raise NotImplementedError

    def flush(self) -> None:
        """Flush the disk, so that its images can be read."""

    def wait(self, status: str) -> None:
        """Wait for the job."""
        raise NotImplementedError

    def kill(self) -> None:
        """QEMU dies."""
        raise NotImplementedError

    def data(self, call: Guest) -> dict[tuple[int, int], bytes]:
        """What a write writes, by range."""
        cell = call.cell_size
        return {
            (offset, length): fill(call.label, RUN, offset, length, cell) if call.label else bytes(length)
            for offset, length in call.ranges
        }

    def overlay(self, call: Libvirt) -> Path:
        """The overlay of a snapshot; it is made as libvirt does, with the clusters of its base."""
        source = ElementTree.fromstring(call.xml).find("disks/disk/source")
        assert source is not None
        path = self.bench.here(source.get("file", ""))
        if "REUSE_EXT" not in call.flags:
            self.make(path, self.bench.content.active)
        return path

    def make(self, path: Path, backing: str | None) -> None:
        """Make an image with the clusters of the active one."""
        content = self.bench.content
        form = content.layer(content.active).format
        options = [
            word for option in create_options(form if isinstance(form, Qcow2) else Qcow2()) for word in ("-o", option)
        ]
        below = []
        if backing is not None:
            below = ["-b", str(self.bench.path(backing)), "-F", content.layer(backing).format.name]
        qemu_img("create", "-q", "-f", "qcow2", *options, *below, path, str(content.size))

    def virDomainDestroyFlags(self, call: Libvirt) -> None:  # noqa: N802
        """There is nothing to end."""

    def virDomainDefineXML(self, call: Libvirt) -> None:  # noqa: N802
        """There is nothing to define."""


def _node(path: object) -> str:
    return PurePosixPath(str(path)).stem


class DaemonHand(BenchHand):
    """qemu-storage-daemon: the same block jobs as in QEMU, live."""

    name = "storage daemon"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.daemon = StorageDaemon(bench.directory)

    def __enter__(self) -> Self:
        self.daemon.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.daemon.__exit__(None, None, None)

    def virDomainCreate(self, call: Libvirt) -> None:  # noqa: ARG002, N802
        """Open the chain."""
        below = None
        for name in self.bench.content.chain():
            self.daemon.open(self.bench.path(name), self.bench.content.layer(name).format.name, below)
            below = name
        assert below is not None
        self.daemon.attach(below)

    def virDomainDestroyFlags(self, call: Libvirt) -> None:  # noqa: ARG002, N802
        """SIGTERM: it flushes and closes the images."""
        self.daemon.__exit__(None, None, None)

    def virDomainSnapshotCreateXML(self, call: Libvirt) -> None:  # noqa: N802
        """blockdev-snapshot."""
        path = self.overlay(call)
        self.daemon.open(path)
        self.daemon.command("blockdev-snapshot", {"node": self.bench.content.active, "overlay": path.stem})

    def virDomainBlockCommit(self, call: Libvirt) -> None:  # noqa: N802
        """block-commit."""
        layers = {"base-node": _node(call.args["base"])}
        if call.args["top"] is not None:
            layers["top-node"] = _node(call.args["top"])
        self._start("block-commit", layers, call)

    def virDomainBlockRebase(self, call: Libvirt) -> None:  # noqa: N802
        """block-stream."""
        base = call.args["base"]
        self._start("block-stream", {} if base is None else {"base-node": _node(base)}, call)

    def virDomainBlockCopy(self, call: Libvirt) -> None:  # noqa: N802
        """blockdev-mirror; it leaves the target's backing file as it is, which must have its node by itself."""
        source = ElementTree.fromstring(call.xml).find("source")
        assert source is not None
        path, content = self.bench.here(source.get("file", "")), self.bench.content
        shallow = "SHALLOW" in call.flags
        backing = content.layer(content.active).backing if shallow else None
        self.make(path, backing)
        self.daemon.open(path, backing=backing)
        self._start("blockdev-mirror", {"target": path.stem, "sync": "top" if shallow else "full"}, call)

    def virDomainBlockJobAbort(self, call: Libvirt) -> None:  # noqa: N802
        """block-job-complete or block-job-cancel; one that is ready is completed by its cancel, too."""
        self.daemon.command("block-job-complete" if "PIVOT" in call.flags else "block-job-cancel", {"device": "job"})
        self.daemon.wait("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED")

    def virDomainBlockJobSetSpeed(self, call: Libvirt) -> None:  # noqa: N802
        """block-job-set-speed."""
        speed = int(str(call.args["bandwidth"])) << 20
        self.daemon.command("block-job-set-speed", {"device": "job", "speed": speed})

    def wait(self, status: str) -> None:
        """Wait for the event."""
        self.daemon.wait("BLOCK_JOB_READY" if status == "ready" else "BLOCK_JOB_COMPLETED")

    def guest(self, call: Guest) -> None:
        """An NBD client's requests."""
        client = self.daemon.guest
        if call.verb == "write":
            for (offset, _), data in self.data(call).items():
                client.pwrite(data, offset)
        for offset, length in call.ranges:
            if call.verb == "zero":
                client.zero(length, offset)
            elif call.verb == "discard":
                client.trim(length, offset)
        if call.flush or call.verb == "flush":
            client.flush()

    def flush(self) -> None:
        """As the guest does."""
        self.daemon.guest.flush()

    def kill(self) -> None:
        """SIGKILL."""
        self.daemon.kill()

    def _start(self, command: str, arguments: Mapping[str, object], call: Libvirt) -> None:
        speed = {"speed": int(str(call.args.get("bandwidth", 0))) << 20}
        job = {"job-id": "job", "device": self.bench.content.active, **arguments, **speed}
        self.daemon.command(command, job)


class ToolsHand(BenchHand):
    """qemu-io is the guest, qemu-img the host, both offline: the same meaning by other code of QEMU's."""

    name = "qemu-img"

    def virDomainCreate(self, call: Libvirt) -> None:  # noqa: N802
        """There is nothing to start."""

    def virDomainSnapshotCreateXML(self, call: Libvirt) -> None:  # noqa: N802
        """Make the overlay, or the snapshot inside the active image."""
        if "<disks>" in call.xml:
            self.overlay(call)
        else:
            self._inside("-c", str(ElementTree.fromstring(call.xml).findtext("name")))

    def virDomainRevertToSnapshot(self, call: Libvirt) -> None:  # noqa: N802
        """Go back to a snapshot inside the active image."""
        self._inside("-a", str(call.args["name"]))

    def virDomainSnapshotDelete(self, call: Libvirt) -> None:  # noqa: N802
        """Delete it there."""
        self._inside("-d", str(call.args["name"]))

    def _inside(self, option: str, name: str) -> None:
        qemu_img("snapshot", option, name, self.bench.path(self.bench.content.active))

    def virDomainBlockCommit(self, call: Libvirt) -> None:  # noqa: N802
        """qemu-img commits the data; the layer above is rebased by hand, as a live commit in mid-chain does."""
        content = self.bench.content
        base = self.bench.here(str(call.args["base"]))
        top = content.active if call.args["top"] is None else _node(call.args["top"])
        qemu_img("commit", "-q", "-d", "-b", base, self.bench.path(top))
        if call.args["top"] is not None:
            above = content.chain()[content.chain().index(top) + 1]
            form = content.layer(base.stem).format.name
            qemu_img("rebase", "-u", "-F", form, "-b", base, self.bench.path(above))

    def virDomainBlockRebase(self, call: Libvirt) -> None:  # noqa: N802
        """Rebase with data: qemu-img copies what would otherwise change, so what is *in* the file may differ."""
        base = call.args["base"]
        backing = ["-b", ""] if base is None else ["-F", "qcow2", "-b", str(self.bench.here(str(base)))]
        qemu_img("rebase", *backing, self.bench.path(self.bench.content.active))

    def virDomainBlockJobAbort(self, call: Libvirt) -> None:  # noqa: N802
        """The commit is done already."""

    def wait(self, status: str) -> None:
        """The job is done already."""

    def guest(self, call: Guest) -> None:
        """qemu-io."""
        commands = []
        for number, ((offset, length), data) in enumerate(self.data(call).items() if call.verb == "write" else ()):
            source = self.bench.directory / f"pattern{number}"
            source.write_bytes(data)
            commands.append(f"write -s {source} {offset} {length}")
        verb = {"zero": "write -z", "discard": "discard"}.get(call.verb)
        commands += [f"{verb} {offset} {length}" for offset, length in call.ranges if verb]
        content = self.bench.content
        form = content.layer(content.active).format.name
        qemu_io(self.bench.path(content.active), *commands, options=("-f", form))
