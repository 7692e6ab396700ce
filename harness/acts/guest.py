"""What the guest does to its disks, always past its page cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from harness.acts.act import VM, Act
from harness.acts.calls import Await, Guest
from harness.oracle.content import Content, Impossible
from harness.oracle.geometry import Range
from harness.oracle.state import State


def places(cells: tuple[int, ...], ranges: tuple[Range, ...], disk: str) -> str:
    """ "cells 0, 1 and 4096 bytes at 131072 of vda"."""
    named = [f"cells {', '.join(map(str, cells))}"] if cells else []
    named += [f"{length} bytes at {offset}" for offset, length in ranges]
    return f"{' and '.join(named)} of {disk}"


class _OnParts(Act):
    """The guest does something to whole `cells` and byte `ranges` of a disk; with `flush` it flushes after it."""

    disk: str
    cells: tuple[int, ...]
    ranges: tuple[Range, ...]
    flush: bool
    vm: str

    def done(self, content: Content, state: State) -> Callable[[tuple[int, ...], tuple[Range, ...]], Content]:
        """What it does in a state to the content of the disk, by cells and ranges."""
        raise NotImplementedError

    def after(self, state: State) -> State:
        """The disk holds it; what is not flushed may be lost when QEMU is."""
        content = self.done(state.awake(self.vm, self.disk), state)(self.cells, self.ranges)
        return state.with_disk(self.vm, self.disk, content.flush() if self.flushes(state) else content)

    def flushes(self, state: State) -> bool:  # noqa: ARG002
        """Whether the image holds it when it has been done."""
        return self.flush

    def stretches(self, state: State) -> tuple[Range, ...]:
        """The bytes, none touching another."""
        return tuple(state.disk(self.vm, self.disk).geometry.stretches(self.cells, self.ranges))

    def _unflushed(self) -> str:
        return "" if self.flush else ", and does not flush"


@dataclass(frozen=True, repr=False)
class Write(_OnParts):
    """The guest writes the pattern of `label`."""

    disk: str
    label: str
    cells: tuple[int, ...] = ()
    ranges: tuple[Range, ...] = ()
    flush: bool = True
    vm: str = VM

    def call(self, state: State) -> Guest:
        """Write."""
        size = state.disk(self.vm, self.disk).geometry.cell_size
        return Guest(self.vm, "write", self.disk, self.stretches(state), self.label, self.flush, size)

    def done(self, content: Content, _: State) -> Callable[[tuple[int, ...], tuple[Range, ...]], Content]:
        """The pattern."""
        return partial(content.write, self.label)

    def __str__(self) -> str:
        return f"writes {self.label} into {places(self.cells, self.ranges, self.disk)}{self._unflushed()}"


@dataclass(frozen=True, repr=False)
class FailWrite(_OnParts):
    """The guest writes the pattern of `label`, and is told that it has failed: the storage does."""

    disk: str
    label: str
    cells: tuple[int, ...] = ()
    ranges: tuple[Range, ...] = ()
    vm: str = VM

    flush = False

    def call(self, state: State) -> Guest:
        """Write."""
        size = state.disk(self.vm, self.disk).geometry.cell_size
        return Guest(self.vm, "fail_write", self.disk, self.stretches(state), self.label, flush=False, cell_size=size)

    def done(self, content: Content, _: State) -> Callable[[tuple[int, ...], tuple[Range, ...]], Content]:
        """Nobody knows how far it has got."""
        return content.fail_write

    def after(self, state: State) -> State:
        """The disk had an error. Raises Impossible unless its storage is broken."""
        state.require_broken()
        after = super().after(state)
        machine = after.vm(self.vm)
        return after.with_vm(self.vm, replace(machine, io_errors=machine.io_errors | {self.disk}))

    def __str__(self) -> str:
        return f"fails to write {self.label} into {places(self.cells, self.ranges, self.disk)}"


@dataclass(frozen=True, repr=False)
class BeginWrite(_OnParts):
    """The guest begins to write the pattern of `label`, and nobody waits for it."""

    disk: str
    label: str
    cells: tuple[int, ...] = ()
    ranges: tuple[Range, ...] = ()
    vm: str = VM

    flush = False

    def call(self, state: State) -> Guest:
        """Write, without waiting for the end."""
        size = state.disk(self.vm, self.disk).geometry.cell_size
        return Guest(self.vm, "begin_write", self.disk, self.stretches(state), self.label, flush=False, cell_size=size)

    def done(self, content: Content, _: State) -> Callable[[tuple[int, ...], tuple[Range, ...]], Content]:
        """Nobody knows how far it has got."""
        return partial(content.begin_write, self.label)

    def __str__(self) -> str:
        return f"begins to write {self.label} into {places(self.cells, self.ranges, self.disk)}"


@dataclass(frozen=True, repr=False)
class EndWrite(Act):
    """Wait until the writes that the guest began to a disk are acknowledged."""

    disk: str
    vm: str = VM

    def call(self, state: State) -> Guest:  # noqa: ARG002
        """Wait."""
        return Guest(self.vm, "end_write", self.disk, flush=False)

    def after(self, state: State) -> State:
        """The guest sees them."""
        content = state.awake(self.vm, self.disk)
        if not content.in_flight:
            raise Impossible(f"the guest has begun no write to {self.disk}")
        return state.with_disk(self.vm, self.disk, content.end_write())

    def __str__(self) -> str:
        return f"has written to {self.disk} what it began to"


@dataclass(frozen=True, repr=False)
class Zero(_OnParts):
    """The guest writes zeros: by the device's own command, or `as_data` like anything else."""

    disk: str
    cells: tuple[int, ...] = ()
    ranges: tuple[Range, ...] = ()
    flush: bool = True
    as_data: bool = False
    vm: str = VM

    def call(self, state: State) -> Guest:
        """BLKZEROOUT, or a write of zeros: a pattern without a label."""
        verb: Literal["write", "zero"] = "write" if self.as_data else "zero"
        return Guest(self.vm, verb, self.disk, self.stretches(state), "", self.flush)

    def done(self, content: Content, _: State) -> Callable[[tuple[int, ...], tuple[Range, ...]], Content]:
        """Zeros."""
        return content.zero

    def __str__(self) -> str:
        how = "zeros as data into" if self.as_data else "zeros to"
        return f"writes {how} {places(self.cells, self.ranges, self.disk)}{self._unflushed()}"


@dataclass(frozen=True, repr=False)
class Discard(_OnParts):
    """The guest discards."""

    disk: str
    cells: tuple[int, ...] = ()
    ranges: tuple[Range, ...] = ()
    flush: bool = True
    vm: str = VM

    def call(self, state: State) -> Guest:
        """BLKDISCARD."""
        return Guest(self.vm, "discard", self.disk, self.stretches(state), "", self.flush)

    def done(self, content: Content, state: State) -> Callable[[tuple[int, ...], tuple[Range, ...]], Content]:
        """What a discard promises: a backup's filter passes none on (QEMU block/copy-before-write.c, no UNMAP)."""
        machine = state.vm(self.vm)
        if not machine.driver.passes_discards_on:
            return lambda cells, ranges: content  # noqa: ARG005 (QEMU drops it: block/io.c, bdrv_co_pdiscard)
        return partial(
            content.discard, passed_on=False if machine.backup and self.disk in machine.backup.disks else None
        )

    def flushes(self, state: State) -> bool:
        """Not where the disk has no write cache: the next write flushes it (QEMU has no FUA for discards)."""
        return self.flush and not state.vm(self.vm).driver.write_through

    def __str__(self) -> str:
        return f"discards {places(self.cells, self.ranges, self.disk)}{self._unflushed()}"


@dataclass(frozen=True, repr=False)
class Flush(Act):
    """The guest flushes a disk."""

    disk: str
    vm: str = VM

    def call(self, state: State) -> Guest:  # noqa: ARG002
        """Flush."""
        return Guest(self.vm, "flush", self.disk)

    def after(self, state: State) -> State:
        """All that it wrote is there after a crash; of a disk without a write cache its kernel asks for no flush."""
        content = state.awake(self.vm, self.disk)
        return state.with_disk(self.vm, self.disk, content.flush() if self.flushes(state) else content)

    def flushes(self, state: State) -> bool:
        """Not where the disk has no write cache."""
        return not state.vm(self.vm).driver.write_through

    def __str__(self) -> str:
        return f"flushes {self.disk}"


class _OutsideTheOracle(Act):
    """The guest does something that changes no byte which the oracle knows."""

    vm: str

    def after(self, state: State) -> State:
        """As it was."""
        state.live(self.vm)
        return state


@dataclass(frozen=True, repr=False)
class RunInGuest(_OutsideTheOracle):
    """Run a shell script in the guest, which does nothing to a disk whose bytes the oracle knows.

    `what` says what it is for.
    """

    script: str
    what: str
    vm: str = VM

    def call(self, state: State) -> Guest:  # noqa: ARG002
        """guest-exec."""
        return Guest(self.vm, "run", script=self.script)

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, repr=False)
class Freeze(_OutsideTheOracle):
    """Freeze the guest's file systems: what they hold is on the disk, and nothing else can be done in the guest."""

    vm: str = VM

    def call(self, state: State) -> Guest:  # noqa: ARG002
        """guest-fsfreeze-freeze."""
        return Guest(self.vm, "freeze")

    def __str__(self) -> str:
        return "freezes its file systems"


@dataclass(frozen=True, repr=False)
class Thaw(_OutsideTheOracle):
    """Thaw the guest's file systems."""

    vm: str = VM

    def call(self, state: State) -> Guest:  # noqa: ARG002
        """guest-fsfreeze-thaw."""
        return Guest(self.vm, "thaw")

    def __str__(self) -> str:
        return "thaws its file systems"


@dataclass(frozen=True, repr=False)
class EndAgent(_OutsideTheOracle):
    """End the guest's agent, and what would start it again, and wait until libvirt knows."""

    vm: str = VM

    def call(self, state: State) -> Guest:  # noqa: ARG002
        """It ends itself, a moment after it has answered."""
        loop = "$(awk '/^PPid/{print $2}' /proc/$PPID/status)"
        return Guest(self.vm, "end_agent", script=f"(usleep 100000; kill -9 {loop} $PPID) >/dev/null 2>&1 </dev/null &")

    def __str__(self) -> str:
        return "ends its agent"


@dataclass(frozen=True, repr=False)
class AwaitWritten(_OutsideTheOracle):
    """Wait until the guest's writer of files has got on, from where it is now."""

    vm: str = VM

    def call(self, state: State) -> Await:  # noqa: ARG002
        """Wait."""
        return Await(self.vm, "written")

    def __str__(self) -> str:
        return "has written another file"
