"""The nouns that scenarios speak: Vm, Disk, Job, Guest. Each verb that acts is one line over the stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.acts.act import Act
from harness.acts.backup import AwaitBackup, BeginBackup, EndBackup, url
from harness.acts.calls import Libvirt
from harness.acts.chain import (
    Abort,
    ActiveCommit,
    AwaitCompleted,
    AwaitReady,
    Commit,
    Copy,
    Pivot,
    Pull,
    Resize,
    SetSpeed,
    SetThreshold,
    Throttle,
)
from harness.acts.checkpoint import CreateCheckpoint, DeleteCheckpoint
from harness.acts.device import Attach, Detach
from harness.acts.guest import AwaitWritten, BeginWrite, Discard, EndWrite, Flush, Freeze, RunInGuest, Write, Zero
from harness.acts.images import CreateImage, RemoveImage
from harness.acts.power import Redefine, Reset, ShutOff, Start, Undefine
from harness.acts.records import DeleteSnapshot
from harness.acts.saving import RemoveSaved, Restore, Save
from harness.acts.snapshot import Snapshot
from harness.journal import Kind
from harness.oracle.chain import Chain
from harness.oracle.content import Content
from harness.oracle.geometry import Range
from harness.oracle.image import Format, Image, Store
from harness.oracle.state import State, VmState
from harness.storage.images import image_in
from harness.storage.stores import file_name, printed
from harness.trial.stage import Refusal, Stage
from harness.vm import striper
from harness.vm.domain import Domain
from harness.vm.domain_view import backing_chain, indices
from harness.vm.hands import Things
from harness.vm.jobs import BlockJobFailed
from harness.vm.writer import START, STOP, check_written, written

if TYPE_CHECKING:
    from testinfra.host import Host


class Vm:
    """One VM of a trial; `may_restore` says whether it may be restored from a saved guest."""

    def __init__(self, stage: Stage, things: Things, name: str, may_restore: Callable[[], bool]) -> None:
        self.stage = stage
        self.things = things
        self.name = name
        self._may_restore = may_restore
        self.guest = Guest(self)

    @property
    def domain(self) -> Domain:
        """The thing itself."""
        return self.things.domain(self.name)

    @property
    def state(self) -> VmState:
        """What must be true of it now."""
        return self.stage.state.vm(self.name)

    @property
    def disks(self) -> tuple[Disk, ...]:
        """All its disks."""
        return tuple(Disk(self, target) for target in self.state.disks)

    @property
    def all_disks(self) -> tuple[Disk, ...]:
        """All its disks, and those that are not plugged in."""
        return tuple(Disk(self, target) for target in self.state.known)

    def disk(self, target: str = "vda") -> Disk:
        """The disk with this target."""
        return Disk(self, target)

    def bring_up(self) -> Self:
        """Start it from a saved guest, where that may be; else boot it."""
        self.stage.do(Start(restored=self._may_restore() and not self.state.opaque, vm=self.name))
        return self

    def start(self) -> Self:
        """Boot it."""
        self.stage.do(Start(vm=self.name))
        return self

    def shut_off(self) -> None:
        """End QEMU politely; the definition stays."""
        self.stage.do(ShutOff(self.name))

    def expect_answers_within(self, seconds: float) -> None:
        """Wait no longer for libvirt's answers about it (before scaling): an act that may hang is to fail soon."""
        self.domain.call_timeout = seconds

    def save(self, file: str = "") -> None:
        """Save its memory and end its QEMU: into the file, or where libvirt keeps it."""
        self.stage.do(Save(file, self.name))

    def restore(self) -> None:
        """Start it where it was saved."""
        self.stage.do(Restore(self.name))

    def remove_saved(self) -> None:
        """Have libvirt forget what it has saved."""
        self.stage.do(RemoveSaved(self.name))

    def reset(self) -> None:
        """Press the reset button, and reach the guest that boots."""
        self.stage.do(Reset(self.name))

    def undefine(self) -> None:
        """Remove its definition while it runs: it is transient then."""
        self.stage.do(Undefine(self.name))

    def redefine(self) -> None:
        """Give it a definition again, on the active layers of its disks."""
        self.stage.do(Redefine(self.name))

    def is_persistent(self) -> bool:
        """Whether libvirt says that it has a definition."""
        return bool(self.domain.call("isPersistent", lambda handle: handle.isPersistent()))

    def grow(self, layers: Sequence[tuple[str, str, Sequence[int]]], target: str = "vda") -> Self:
        """Live: make (image, label, cells) layers of a disk, writing each one's marker while it is the active one."""
        disk = self.disk(target)
        for name, label, cells in layers:
            if name not in disk.content.files():
                disk.snapshot(name)
            disk.write(label, cells)
        return self

    def snapshot(self, overlays: Mapping[str, str], name: str = "", *, quiesce: bool = False) -> None:
        """Make a snapshot of several disks at one instant: a new active layer for each."""
        (disk, overlay), *also = overlays.items()
        self.stage.do(Snapshot(disk, overlay, name, also=tuple(also), quiesce=quiesce, vm=self.name))

    def checkpoint(self, name: str, *disks: str) -> None:
        """Make a checkpoint of these disks, or of all."""
        self.stage.do(CreateCheckpoint(name, disks or tuple(self.state.disks), vm=self.name))

    def pull_backup(self, *disks: str, since: str = "", checkpoint: str = "") -> PullBackup:
        """Begin a backup of these disks, or of all, which QEMU serves over NBD until it is ended; see Disk."""
        self.stage.do(BeginBackup(disks or tuple(self.state.disks), (), since, checkpoint, vm=self.name))
        return PullBackup(self.disks[0] if not disks else self.disk(disks[0]))

    def ask(self, function: str, *flags: str, **args: str) -> object:
        """What one of libvirt's functions that change nothing answers about it; `args` are the function's others."""
        return self.stage.ask(Libvirt(function, self.name, args, flags))

    def names(self, function: str, *flags: str, **args: str) -> list[str]:
        """The names that such a function lists: in order, or in libvirt's where that is promised."""
        answer = self.ask(function, *flags, **args)
        if not isinstance(answer, list):
            raise TypeError(f"{function} lists nothing: it answers {answer!r}")
        return answer if "TOPOLOGICAL" in flags else sorted(answer)

    def delete_checkpoint(self, name: str) -> None:
        """Delete a checkpoint."""
        self.stage.do(DeleteCheckpoint(name, vm=self.name))

    def delete_snapshot(self, name: str) -> None:
        """Delete an external snapshot that libvirt has a record of."""
        self.stage.do(DeleteSnapshot(name, vm=self.name))

    def xml(self, *, inactive: bool = False) -> str:
        """The domain XML: as it runs, or as it will start next time."""
        return self.domain.xml(inactive=inactive)


class Disk:
    """A disk (`target`: vda) of a VM."""

    def __init__(self, vm: Vm, target: str) -> None:
        self.vm = vm
        self.target = target
        self._stage = vm.stage

    def __str__(self) -> str:
        return self.target

    # what must be true of it

    @property
    def content(self) -> Content:
        """What its images must hold and show now."""
        return self._state.content(self.vm.name, self.target)

    @property
    def is_on(self) -> bool:
        """Whether it is plugged into a VM that runs."""
        return self.vm.state.is_on and self.target in self.vm.state.disks

    @property
    def opaque(self) -> bool:
        """Whether it holds the guest's own files: the oracle knows its chain, not its bytes."""
        return self.target in self.vm.state.opaque

    def image(self, name: str) -> Image:
        """The image of this name."""
        return self._state.image(self.vm.name, self.target, name)

    def data_files(self) -> list[str]:
        """The paths of the files that hold the data of images of its chain, where those are files of their own."""
        forms = (self.content.layer(name).format for name in self.content.chain())
        return [form.data_file for form in forms if form.data_file]

    def images(self) -> tuple[Image, ...]:
        """Every image that should exist, in the order in which they were made."""
        return tuple(map(self.image, self.content.files()))

    def expected_chain(self) -> Chain:
        """The chain that the oracle expects."""
        return Chain(self.content.chain())

    # what it is seen to be

    def chain(self) -> Chain:
        """The chain as the running domain's XML has it."""
        return self.named(backing_chain(self.vm.xml(), self.target))

    def configured_chain(self) -> Chain:
        """The chain as the persistent definition has it; libvirt may keep only the active layer there."""
        return self.named(backing_chain(self.vm.xml(inactive=True), self.target))

    def numbered(self, layer: str) -> str:
        """A layer by its number in the running domain's XML: vda[2]."""
        return f"{self.target}[{indices(self.vm.xml(), self.target)[file_name(self.image(layer).store)]}]"

    def named(self, stores: Iterable[Store]) -> Chain:
        """The chain of the images in these stores; one that should not exist is called by its place."""
        return Chain(tuple(self.name_of(store) or printed(store) for store in stores))

    def name_of(self, store: Store) -> str | None:
        """The name of the image in a store, whatever links and dots are in its path; None if none should be there."""
        images = self.images()
        image = image_in(store, images)
        if image is None:
            same = self.vm.things.same_file
            image = next((each for each in images if same(each.store, store)), None)
        return image.name if image else None

    # what is done to it

    def write(self, label: str, cells: Iterable[int] = (), ranges: Iterable[Range] = (), *, flush: bool = True) -> None:
        """The guest writes the pattern of `label` into whole `cells` and byte `ranges`, and flushes it to the image."""
        self._do(Write(self.target, label, _sorted(cells), tuple(ranges), flush, self.vm.name))

    def begin_write(self, label: str, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> None:
        """The guest begins to write the pattern of `label`, and nobody waits for it until `end_write`."""
        self._do(BeginWrite(self.target, label, _sorted(cells), tuple(ranges), self.vm.name))

    def end_write(self) -> None:
        """Wait until the writes that the guest began are acknowledged."""
        self._do(EndWrite(self.target, self.vm.name))

    def zero(
        self, cells: Iterable[int] = (), ranges: Iterable[Range] = (), *, as_data: bool = False, flush: bool = True
    ) -> None:
        """The guest writes zeros, by the device's own command (BLKZEROOUT) or as data, and flushes."""
        self._do(Zero(self.target, _sorted(cells), tuple(ranges), flush, as_data, self.vm.name))

    def discard(self, cells: Iterable[int] = (), ranges: Iterable[Range] = (), *, flush: bool = True) -> None:
        """The guest discards (BLKDISCARD), and flushes."""
        self._do(Discard(self.target, _sorted(cells), tuple(ranges), flush, self.vm.name))

    def flush(self) -> None:
        """The guest flushes."""
        self._do(Flush(self.target, self.vm.name))

    def snapshot(self, overlay: str, *, name: str = "", form: Format | None = None) -> None:
        """Make a new active layer `overlay` on top of the present one; with a `name`, libvirt keeps a record of it.

        With a format, the overlay is made in it before; else libvirt makes it.
        """
        if form is not None:
            self._do(CreateImage(overlay, self.target, format=form, backing=self.content.active, vm=self.vm.name))
        self._do(Snapshot(self.target, overlay, name, reuse=form is not None, vm=self.vm.name))

    def snapshot_into(self, overlay: str) -> None:
        """Make `overlay`, an image that was made on the present active layer, the active one."""
        self._do(Snapshot(self.target, overlay, reuse=True, vm=self.vm.name))

    def active_commit(self, into: str, *, bandwidth: int = 0) -> Job:
        """Start to commit the active layer, and all between, into layer `into`; `bandwidth` in MiB a second."""
        return self.begin(ActiveCommit(self.target, into, bandwidth, vm=self.vm.name))

    def commit(self, top: str, base: str, *, bandwidth: int = 0) -> Job:
        """Start to commit the layers from `top` down to, but not with, `base` into `base`."""
        return self.begin(Commit(self.target, top, base, bandwidth, vm=self.vm.name))

    def pull(self, base: str | None = None, *, bandwidth: int = 0) -> Job:
        """Start to pull all layers above `base` (None: the whole chain) into the active one."""
        return self.begin(Pull(self.target, base, bandwidth, vm=self.vm.name))

    def copy(self, dest: str, *, shallow: bool = False) -> Job:
        """Start to copy the disk to the new image `dest`, all of it or with `shallow` the active layer alone."""
        return self.begin(Copy(self.target, dest, shallow, vm=self.vm.name))

    def attach(self) -> None:
        """Plug it in."""
        self._do(Attach(self.target, self.vm.name))

    def detach(self) -> None:
        """Unplug it."""
        self._do(Detach(self.target, self.vm.name))

    def remove(self, name: str) -> None:
        """Delete the file of an image that no chain needs any more."""
        self._do(RemoveImage(name, self.target, self.vm.name))

    def resize(self, size: int) -> None:
        """Make it `size` bytes large."""
        self._do(Resize(self.target, size, self.vm.name))

    def throttle(self, iops: int) -> None:
        """Let it do `iops` operations a second at most, now and from the next start on."""
        for next_start in (False, True):
            self._do(Throttle(self.target, iops, next_start, self.vm.name))

    def tell_beyond(self, threshold: int, *, layer: str = "") -> None:
        """Have libvirt tell once of a write beyond that byte of the active layer's file, or of the `layer`'s."""
        self._do(SetThreshold(self.numbered(layer) if layer else self.target, threshold, self.vm.name))

    def ask(self, function: str, *flags: str, by: str = "", **args: int) -> object:
        """What one of libvirt's functions that change nothing answers about it; `args` are the function's others."""
        return self._stage.ask(Libvirt(function, self.vm.name, {"disk": self.target, **args}, flags), by=by)

    def pull_backup(self, *, since: str = "", checkpoint: str = "") -> PullBackup:
        """Begin a backup, which QEMU serves over NBD until it is ended: a full one, or one `since` a checkpoint."""
        self._do(BeginBackup((self.target,), (), since, checkpoint, vm=self.vm.name))
        return PullBackup(self)

    def backup(self, dest: str, *, since: str = "", checkpoint: str = "") -> None:
        """Have QEMU write a backup to the new image `dest`: a full one, or one `since` a checkpoint."""
        self._do(BeginBackup((self.target,), (dest,), since, checkpoint, vm=self.vm.name))
        self._do(AwaitBackup(self.vm.name))

    def read(self) -> bytes:
        """All cells as the guest's device gives them now."""
        return self.vm.domain.port.read(self.target, self.content.geometry.size)

    @property
    def _state(self) -> State:
        return self._stage.state

    def _do(self, act: Act) -> None:
        self._stage.do(act)

    def begin(self, act: Act) -> Job:
        """Do an act that starts a job of this disk, with whatever flags it has."""
        self._do(act)
        return Job(self)


class Job:
    """A job from its start to its end; as a context, one that was left open by an error is aborted."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self._stage = disk.vm.stage

    def __str__(self) -> str:
        return f"the job of {self.disk}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.disk.content.job is None:
            return
        if kind is None:
            raise BlockJobFailed(f"{self} was left open: pivot, abort or wait for its end")
        try:
            self.abort()
        except (*Refusal, ValueError) as also:  # the first error is the one to tell of
            self._stage.journal.record(Kind.NOTE, f"{self} could not be aborted after the error: {also}")

    def wait_ready(self) -> None:
        """Wait until it is in sync: by its event, or by its state if the daemon was started since."""
        self._stage.do(AwaitReady(self.disk.target, self.disk.vm.name))

    def wait_completed(self) -> None:
        """Wait for the end of a job that has one phase."""
        self._stage.do(AwaitCompleted(self.disk.target, self.disk.vm.name))

    def pivot(self, *, asynchronous: bool = False) -> None:
        """Make the job's target the active layer."""
        self._stage.do(Pivot(self.disk.target, asynchronous, self.disk.vm.name))

    def abort(self, *, asynchronous: bool = False) -> None:
        """Give the job up: the active layer stays what it is."""
        self._stage.do(Abort(self.disk.target, asynchronous, self.disk.vm.name))

    def set_speed(self, bandwidth: int, *, in_bytes: bool = False) -> None:
        """Let it copy `bandwidth` MiB, or with `in_bytes` bytes, a second; 0 for all that it can."""
        self._stage.do(SetSpeed(self.disk.target, bandwidth, in_bytes, self.disk.vm.name))


class PullBackup:
    """A backup in pull mode that is on; as a context it is ended. `url` is what an NBD client in the stack reads."""

    def __init__(self, disk: Disk) -> None:
        self.url = url(disk.target)
        self._vm = disk.vm

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._vm.stage.do(EndBackup(self._vm.name))


class Guest:
    """What runs in a VM."""

    def __init__(self, vm: Vm) -> None:
        self._vm = vm

    @property
    def host(self) -> Host:
        """pytest-testinfra's view of it."""
        return self._vm.domain.host

    def run(self, script: str) -> bytes:
        """The standard output of a shell script that changes nothing on the disks. Raises AgentError."""
        return self._vm.domain.agent.run(script)

    def same_boot(self) -> bool:
        """True if it has not rebooted by itself."""
        return self._vm.domain.same_boot()

    def freeze(self) -> None:
        """Freeze its file systems; after it, nothing else works."""
        self._act(Freeze(self._vm.name))

    def start_writer(self) -> None:
        """Have it write files, each with its checksum in a list, and flush, until `stop_writer`."""
        self._act(RunInGuest(START, "begins to write files, and goes on until it is stopped", self._vm.name))
        self.wait_written()

    def wait_written(self) -> None:
        """Wait until the writer has got on, from where it is now."""
        self._act(AwaitWritten(self._vm.name))

    def stop_writer(self) -> int:
        """Stop the writer and return how many files it wrote."""
        self._act(RunInGuest(STOP, "stops writing files", self._vm.name))
        return written(self._vm.domain.agent)

    def start_striper(self, *disks: str) -> None:
        """Have it number its writes across disks whose bytes the oracle does not know, until `stop_striper`."""
        self._act(RunInGuest(striper.start(disks), f"begins to number its writes to {', '.join(disks)}", self._vm.name))

    def wait_striped(self) -> None:
        """Wait until it has written to each of them once more."""
        self._act(RunInGuest(striper.AWAIT, "has written to each once more", self._vm.name))

    def stop_striper(self) -> None:
        """Have it stop."""
        self._act(RunInGuest(striper.STOP, "stops numbering writes", self._vm.name))

    def check_written(self) -> int:
        """Read every file of the writer's back from the disk, and return how many are whole. Raises AgentError."""
        return check_written(self._vm.domain.agent)

    def _act(self, act: Act) -> None:
        self._vm.stage.do(act)


def _sorted(cells: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(cells)))
