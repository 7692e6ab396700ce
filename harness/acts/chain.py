"""What libvirt does to the chain of a disk under a running guest by block jobs, and to the disk itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.acts.act import VM, Act
from harness.acts.calls import Await, Libvirt, chosen
from harness.oracle.content import Content, Impossible
from harness.oracle.image import Block, Format, Raw
from harness.oracle.job import Phase
from harness.oracle.state import State
from harness.storage.elements import copy_disk
from harness.storage.stores import file_name

# after an aborted active commit libvirt 9.0 removes a bitmap that it makes only where there are checkpoints
_NO_BITMAP = "libvirt-tmp-activewrite"
_NO_PIVOT = r"block job '.*' failed while pivoting"


class _OfDisk(Act):
    """An act on one disk of a VM, by what it does to the disk's content."""

    disk: str
    vm: str

    def content(self, content: Content) -> Content:
        """The disk afterwards; raises Impossible."""
        raise NotImplementedError

    def after(self, state: State) -> State:
        """The disk's content moves, nothing else."""
        return state.with_disk(self.vm, self.disk, self.content(state.operated(self.vm, self.disk)))


@dataclass(frozen=True, repr=False)
class ActiveCommit(_OfDisk):
    """Start to commit the active layer, and all between, into layer `into`.

    `bandwidth` is in MiB a second, or `in_bytes`; 0 for all. `shallow` leaves it to libvirt to find the layer below.
    `delete` has libvirt remove the files of the layers that are folded.
    """

    disk: str
    into: str
    bandwidth: int = 0
    in_bytes: bool = False
    shallow: bool = False
    delete: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:
        """virDomainBlockCommit, ACTIVE."""
        base = None if self.shallow else file_name(state.store(self.into))
        args = {"disk": self.disk, "base": base, "top": None, "bandwidth": self.bandwidth}
        return Libvirt("virDomainBlockCommit", self.vm, args, ("ACTIVE", *_commit_flags(self)))

    def content(self, content: Content) -> Content:
        """Phase one."""
        if self.shallow:
            _require_below(content, self.into, content.active)
        return content.active_commit(self.into, deletes=self.delete)

    def __str__(self) -> str:
        return f"an active commit of {self.disk} into {self.into} begins{_how(self)}"


@dataclass(frozen=True, repr=False)
class Commit(_OfDisk):
    """Start to commit the layers from `top` down to, but not with, `base` into `base`; the rest as ActiveCommit.

    With `relative` the layer above `top` names `base` relatively, as all from it down name what they are on.
    """

    disk: str
    top: str
    base: str
    bandwidth: int = 0
    in_bytes: bool = False
    shallow: bool = False
    delete: bool = False
    relative: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:
        """virDomainBlockCommit."""
        paths: dict[str, str | int | None] = {
            "base": None if self.shallow else file_name(state.store(self.base)),
            "top": file_name(state.store(self.top)),
        }
        args = {"disk": self.disk, **paths, "bandwidth": self.bandwidth}
        return Libvirt("virDomainBlockCommit", self.vm, args, (*chosen(RELATIVE=self.relative), *_commit_flags(self)))

    def content(self, content: Content) -> Content:
        """The one phase."""
        if self.shallow:
            _require_below(content, self.base, self.top)
        return content.commit(self.top, self.base, deletes=self.delete, relative=self.relative)

    def __str__(self) -> str:
        return f"a commit of {self.disk} from {self.top} into {self.base} begins{_how(self)}"


def _commit_flags(act: ActiveCommit | Commit) -> tuple[str, ...]:
    return chosen(SHALLOW=act.shallow, DELETE=act.delete, BANDWIDTH_BYTES=act.in_bytes)


def _how(act: ActiveCommit | Commit) -> str:
    """The flags of a commit that change what becomes of it, in words."""
    words = [word for word, is_set in (("shallow", act.shallow), ("with removal", act.delete)) if is_set]
    return f" ({', '.join(words)})" if words else ""


def _require_below(content: Content, base: str, top: str) -> None:
    if content.layer(top).backing != base:
        raise Impossible(f"{base} is not the layer just below {top}")


@dataclass(frozen=True, repr=False)
class Pull(_OfDisk):
    """Start to pull all layers above `base` (None: the whole chain) into the active one; `bandwidth` as ActiveCommit.

    `plain` is a call of virDomainBlockPull, which knows no base. `relative` as Commit.
    """

    disk: str
    base: str | None = None
    bandwidth: int = 0
    in_bytes: bool = False
    plain: bool = False
    relative: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:
        """virDomainBlockRebase, or virDomainBlockPull."""
        flags = chosen(RELATIVE=self.relative, BANDWIDTH_BYTES=self.in_bytes)
        args: dict[str, str | int | None] = {"disk": self.disk, "bandwidth": self.bandwidth}
        if self.plain:
            return Libvirt("virDomainBlockPull", self.vm, args, flags)
        base = None if self.base is None else file_name(state.store(self.base))
        return Libvirt("virDomainBlockRebase", self.vm, {**args, "base": base}, flags)

    def content(self, content: Content) -> Content:
        """The one phase."""
        if self.plain and self.base is not None:
            raise ValueError("virDomainBlockPull knows no base")
        return content.pull(self.base, relative=self.relative)

    def __str__(self) -> str:
        return f"a pull of {self.disk} onto {self.base or 'nothing'} begins"


@dataclass(frozen=True, repr=False)
class Copy(_OfDisk):
    """Start to copy a disk to the image `dest`, the whole chain or with `shallow` the active layer alone.

    libvirt makes the image, in the active layer's format unless another is passed, or it is there and `reuse` says so.
    `synchronous`: each write of the guest waits for the copy of it. `bandwidth` is in bytes a second, `granularity` and
    `buffer` are in bytes; 0 is QEMU's choice. It is a transient job where the VM is a persistent one.
    `by_rebase` is the older call for it, which knows no more than `bandwidth` of them, and is for transient VMs alone.
    """

    disk: str
    dest: str
    shallow: bool = False
    format: Format | None = None
    reuse: bool = False
    synchronous: bool = False
    bandwidth: int = 0
    granularity: int = 0
    buffer: int = 0
    by_rebase: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:
        """virDomainBlockCopy, or virDomainBlockRebase with COPY."""
        content = state.disk(self.vm, self.disk)
        form = content.layer(self.dest).format if self.reuse else self.format or content.made_by_copy()
        flags = chosen(SHALLOW=self.shallow, REUSE_EXT=self.reuse, SYNCHRONOUS_WRITES=self.synchronous)
        if self.by_rebase:
            copied = chosen(
                COPY=True, COPY_RAW=isinstance(form, Raw), COPY_DEV=isinstance(state.store(self.dest), Block)
            )
            args: dict[str, str | int | None] = {
                "disk": self.disk,
                "base": file_name(state.store(self.dest)),
                "bandwidth": self.bandwidth,
            }
            flags = (*copied, *flags, *chosen(BANDWIDTH_BYTES=bool(self.bandwidth)))
            return Libvirt("virDomainBlockRebase", self.vm, args, flags)
        numbers = {"bandwidth": self.bandwidth, "granularity": self.granularity, "buffer": self.buffer}
        xml = copy_disk(state.store(self.dest), form)
        flags = (*chosen(TRANSIENT_JOB=state.vm(self.vm).persistent), *flags)
        return Libvirt("virDomainBlockCopy", self.vm, {"disk": self.disk, **numbers}, flags, xml)

    def content(self, content: Content) -> Content:
        """Phase one."""
        return content.copy(self.dest, shallow=self.shallow, form=self.format, reuse=self.reuse)

    def after(self, state: State) -> State:
        """The older call must be refused for a persistent VM."""
        after = super().after(state)
        if self.by_rebase and state.vm(self.vm).persistent:
            raise Impossible(f"{self.vm} is a persistent VM")
        layer = after.content(self.vm, self.disk).layer(self.dest)
        after.fits(self.dest, layer.format, layer.size)
        return after

    def __str__(self) -> str:
        return f"a copy of {self.disk} to {self.dest} begins"


@dataclass(frozen=True, repr=False)
class AwaitUnderWay(Act):
    """Wait until the disk's job, or the VM's backup if none is named, has copied a part of what there is to copy."""

    disk: str = ""
    vm: str = VM

    def call(self, state: State) -> Await:  # noqa: ARG002
        """Wait."""
        return Await(self.vm, "under way", self.disk)

    def after(self, state: State) -> State:
        """It is between its beginning and its end; raises Impossible unless it takes its time."""
        machine = state.live(self.vm)
        disks = (self.disk,) if self.disk else tuple(machine.backup.disks) if machine.backup else ()
        if self.disk and state.disk(self.vm, self.disk).job is None:
            raise Impossible(f"{self.disk} has no job")
        if not any(state.is_slow(self.vm, disk) for disk in disks):
            raise Impossible("nothing slows it down: it may have ended")
        return state

    def __str__(self) -> str:
        return f"the job of {self.disk or self.vm} is under way"


@dataclass(frozen=True, repr=False)
class AwaitReady(_OfDisk):
    """Wait until the disk's job is in sync: by its READY event, or by its state if the daemon was started since."""

    disk: str
    vm: str = VM

    def call(self, state: State) -> Await:  # noqa: ARG002
        """Wait."""
        return Await(self.vm, "ready", self.disk)

    def content(self, content: Content) -> Content:
        """Phase two; a job that was ready before the daemon was restarted still is."""
        return content if content.job is not None and content.job.phase is Phase.READY else content.ready(earlier=True)

    def __str__(self) -> str:
        return f"the job of {self.disk} is ready: awake and in sync"


@dataclass(frozen=True, repr=False)
class AwaitCompleted(_OfDisk):
    """Wait until the disk's job of one phase has ended."""

    disk: str
    vm: str = VM

    def call(self, state: State) -> Await:  # noqa: ARG002
        """Wait."""
        return Await(self.vm, "completed", self.disk)

    def content(self, content: Content) -> Content:
        """Nothing of what it folded is in the chain any more."""
        return content.completed()

    def __str__(self) -> str:
        return f"the job of {self.disk} is completed"


@dataclass(frozen=True, repr=False)
class AwaitFailed(_OfDisk):
    """Wait until the disk's job has failed: its storage does."""

    disk: str
    vm: str = VM

    def call(self, state: State) -> Await:  # noqa: ARG002
        """Wait."""
        return Await(self.vm, "failed", self.disk)

    def content(self, content: Content) -> Content:
        """The job is gone."""
        return content.failed()

    def after(self, state: State) -> State:
        """Raises Impossible unless its storage is broken."""
        state.require_broken()
        return replace(super().after(state), met=True).with_noise(_NO_BITMAP)

    def __str__(self) -> str:
        return f"the job of {self.disk} has failed"


@dataclass(frozen=True, repr=False)
class Pivot(_OfDisk):
    """End a job that is ready by making its target the active layer; `asynchronous`: the call does not wait for it."""

    disk: str
    asynchronous: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainBlockJobAbort, PIVOT."""
        flags = chosen(PIVOT=True, ASYNC=self.asynchronous)
        return Libvirt("virDomainBlockJobAbort", self.vm, {"disk": self.disk}, flags, until="completed")

    def content(self, content: Content) -> Content:
        """The target is active."""
        return content.pivot()

    def __str__(self) -> str:
        return f"the job of {self.disk} pivots"


@dataclass(frozen=True, repr=False)
class FailPivot(_OfDisk):
    """Try to pivot a job that is ready, and hear that this has failed: its storage does."""

    disk: str
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainBlockJobAbort, PIVOT."""
        return Libvirt(
            "virDomainBlockJobAbort", self.vm, {"disk": self.disk}, ("PIVOT",), until="failed", fails=_NO_PIVOT
        )

    def content(self, content: Content) -> Content:
        """The job is gone."""
        return content.failed()

    def after(self, state: State) -> State:
        """Raises Impossible unless its storage is broken, and the job is ready."""
        content = state.disk(self.vm, self.disk)
        state.require_broken()
        if content.job is None or content.job.phase is not Phase.READY:
            raise Impossible(f"no job of {self.disk} is ready")
        return super().after(state).with_noise(_NO_BITMAP, _NO_PIVOT)

    def __str__(self) -> str:
        return f"the job of {self.disk} fails as it pivots"


@dataclass(frozen=True, repr=False)
class Abort(_OfDisk):
    """Give the disk's job up: the active layer stays what it is; `asynchronous`: the call does not wait for it."""

    disk: str
    asynchronous: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainBlockJobAbort."""
        flags = chosen(ASYNC=self.asynchronous)
        return Libvirt("virDomainBlockJobAbort", self.vm, {"disk": self.disk}, flags, until="canceled")

    def content(self, content: Content) -> Content:
        """The job is gone."""
        return content.abort()

    def after(self, state: State) -> State:
        """And libvirt may have logged an error."""
        return super().after(state).with_noise(_NO_BITMAP)

    def __str__(self) -> str:
        return f"the job of {self.disk} is aborted"


@dataclass(frozen=True, repr=False)
class SetSpeed(_OfDisk):
    """Let the disk's job copy `bandwidth` MiB, or with `in_bytes` bytes, a second; 0 for all that it can."""

    disk: str
    bandwidth: int
    in_bytes: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainBlockJobSetSpeed."""
        flags = chosen(BANDWIDTH_BYTES=self.in_bytes)
        return Libvirt("virDomainBlockJobSetSpeed", self.vm, {"disk": self.disk, "bandwidth": self.bandwidth}, flags)

    def content(self, content: Content) -> Content:
        """Nothing changes but the time that it takes."""
        if content.job is None:
            raise Impossible(f"{self.disk} has no job")
        return content

    def __str__(self) -> str:
        unit = "bytes" if self.in_bytes else "MiB"
        return f"the job of {self.disk} may copy {self.bandwidth or 'any number of'} {unit} a second"


@dataclass(frozen=True, repr=False)
class Resize(_OfDisk):
    """Make the disk `size` bytes large."""

    disk: str
    size: int
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainBlockResize, in bytes."""
        return Libvirt("virDomainBlockResize", self.vm, {"disk": self.disk, "size": self.size}, ("BYTES",))

    def content(self, content: Content) -> Content:
        """The active layer's virtual disk is of that size."""
        return content.resize(self.size)

    def __str__(self) -> str:
        return f"{self.disk} is {self.size} bytes large"


@dataclass(frozen=True, repr=False)
class Throttle(Act):
    """Let the disk do `iops` operations a second at most: now, or from the `next_start` on."""

    disk: str
    iops: int
    next_start: bool = False
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainSetBlockIoTune, LIVE or CONFIG: libvirt's binding takes one of them at a time."""
        where = chosen(CONFIG=self.next_start, LIVE=not self.next_start)
        return Libvirt("virDomainSetBlockIoTune", self.vm, {"disk": self.disk, "iops": self.iops}, where)

    def after(self, state: State) -> State:
        """It is throttled, whatever becomes of its chain."""
        machine = state.live(self.vm)
        state.disk(self.vm, self.disk)
        if self.next_start:
            if not machine.persistent:
                raise Impossible(f"{self.vm} has no definition")
            machine = replace(machine, throttled_next={**machine.throttled_next, self.disk: self.iops})
        else:
            machine = replace(machine, throttled={**machine.throttled, self.disk: self.iops})
        return state.with_vm(self.vm, machine)

    def __str__(self) -> str:
        return f"{self.disk} may do {self.iops} operations a second{' from the next start on' * self.next_start}"


@dataclass(frozen=True, repr=False)
class SetThreshold(Act):
    """Have libvirt tell once when something is written beyond byte `threshold` of the active layer's file.

    `disk` is a target, or a layer by its number in the live XML: vda[2].
    """

    disk: str
    threshold: int
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainSetBlockThreshold."""
        return Libvirt("virDomainSetBlockThreshold", self.vm, {"disk": self.disk, "threshold": self.threshold})

    def after(self, state: State) -> State:
        """As it was."""
        state.live(self.vm)
        state.disk(self.vm, self.disk.partition("[")[0])
        return state

    def __str__(self) -> str:
        return f"libvirt is to tell when {self.disk} is written to beyond byte {self.threshold}"
