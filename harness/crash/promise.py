"""What must be found on a disk after a power loss, at every moment of a scenario: what was flushed is certain.

What was written since may be there or not. Where the write takes a new cluster, qcow2 promises nothing for the whole of
it until the flush, not even the old or the new: it may read as zeros, or as what the cluster held before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from harness.acts.act import Act
from harness.acts.guest import BeginWrite, Discard, EndWrite, Flush, Write, Zero
from harness.acts.images import CompressImage
from harness.acts.power import ShutOff
from harness.acts.saving import Save
from harness.oracle.content import Content, Impossible
from harness.oracle.geometry import Geometry
from harness.oracle.image import File
from harness.oracle.layer import Parts
from harness.oracle.parts import HOLE, ZERO, Blank, Part
from harness.oracle.state import State

Disk = tuple[str, str]
"""The VM and its target."""

Values = frozenset[str | Blank] | None
"""What a part may read as: labels, and ZERO; None is anything."""


@dataclass(frozen=True)
class Span:
    """One act: when it began and ended (ns of CLOCK_MONOTONIC), and the states before it, as meant, and after it."""

    act: Act
    began: int
    ended: int
    before: State
    meant: State
    after: State


@dataclass(frozen=True)
class Promise:
    """What a disk must show from the moment `since` on (ns): of each part one of `values`.

    `sizes` are those that its virtual disk may have, in bytes. `active` is the path of the image that the guest is on,
    "" while an act may be changing that. `moment` says in words when that is, `act` is the name of the act's kind.
    """

    since: int
    moment: str
    geometry: Geometry
    values: tuple[Values, ...]
    sizes: frozenset[int]
    active: str
    act: str = ""


@dataclass(frozen=True)
class Unjudged:
    """A disk that cannot be judged from the moment `since` on, and why."""

    since: int
    why: str


def promises(spans: Iterable[Span]) -> dict[Disk, list[Promise | Unjudged]]:
    """By disk, the promises of a scenario's acts, in order."""
    found: dict[Disk, list[Promise | Unjudged]] = {}
    for span in spans:
        for disk, content in _disks(span.after):
            known = found.setdefault(disk, [])
            vm, target = disk
            is_in = target in span.after.vm(vm).disks
            why = _unjudged(span.after, disk, content) if is_in else "it is not plugged in"
            if why:
                known.append(Unjudged(span.began, why))
                continue
            last = known[-1] if known and isinstance(known[-1], Promise) else None
            if isinstance(span.act, CompressImage) and (span.act.vm, span.act.disk) == disk:
                known.append(Unjudged(span.began, f"{span.act.name} is written anew, in its place"))
                last = None
            known.extend(_of(span, disk, content, last))
    return found


def _of(span: Span, disk: Disk, after: Content, last: Promise | None) -> Iterator[Promise]:
    """The promise during an act, and that after it."""
    vm, target = disk
    act = type(span.act).__name__
    active = str(span.after.path(after.active))
    guest, size = after.guest(), after.size
    if last is None:
        values, sizes = tuple(map(_certain, guest)), frozenset({size})
    else:
        meant = span.meant.content(vm, target)
        loose = _loose(span.act, disk, span.before, meant)
        values = tuple(map(_or, last.values, meant.guest()))
        values = tuple(None if part in loose else value for part, value in enumerate(values))
        sizes = last.sizes | {meant.size}
        yield Promise(span.began, f"during: {span.act}", after.geometry, values, sizes, "", act)
        values = tuple(map(_or, values, guest))
        sizes = frozenset({size})
    if last is None or _flushes(span.act, span.before, disk):
        waiting = after.in_memory() if last is None else set()  # nobody has kept what they read as before
        values = tuple(None if part in waiting else _certain(value) for part, value in enumerate(guest))
    yield Promise(span.ended, f"after: {span.act}", after.geometry, values, sizes, active, act)


def _disks(state: State) -> Iterator[tuple[Disk, Content]]:
    return chain.from_iterable(
        (((name, target), content) for target, content in machine.known.items()) for name, machine in state.vms.items()
    )


def _unjudged(state: State, disk: Disk, content: Content) -> str:
    """Why a disk cannot be judged in a state, or nothing."""
    vm, target = disk
    if target in state.vm(vm).opaque:
        return "the bytes on it are the guest's own"
    odd = next((name for name in content.layers if not isinstance(state.store(name), File)), None)
    if odd is not None:
        return f"{odd} is no file: what is written to a {type(state.store(odd)).__name__} is not recorded"
    apart = next((name for name, layer in content.layers.items() if layer.format.data_file), None)
    if apart is not None:
        return f"the data of {apart} lies in a file of its own, which is not read here"
    try:
        content.guest()
    except Impossible as error:
        return str(error)
    return ""


def _flushes(act: Act, before: State, disk: Disk) -> bool:
    """Whether the guest, or the end of its QEMU, has flushed the disk when the act has ended.

    A snapshot and a pivot flush, too; that they do is what is to be seen, and of what the guest has not flushed they
    promise nothing.
    """
    if isinstance(act, Flush | Write | Zero | Discard):
        return act.flushes(before) and (act.vm, act.disk) == disk
    return isinstance(act, ShutOff | Save) and act.vm == disk[0]


def _loose(act: Act, disk: Disk, before: State, meant: Content) -> frozenset[int]:
    """The parts that may read as anything until the next flush: those of clusters that the act may allocate or free."""
    if isinstance(act, EndWrite) and (act.vm, act.disk) == disk:
        written = frozenset(before.disk(*disk).in_flight)
    elif isinstance(act, Write | BeginWrite | Zero | Discard) and (act.vm, act.disk) == disk:
        written = meant.geometry.parts_of(act.cells, act.ranges)
    else:
        return frozenset()
    content = before.disk(*disk)
    layer = content.layer(content.active)
    in_place = isinstance(act, Write | BeginWrite) or (isinstance(act, Zero) and act.as_data)
    loose: set[int] = set()
    for part in written:
        unit = content.geometry.unit_around(part, layer.format.unit)
        if not in_place or not all(isinstance(layer.own[other], str) for other in unit):
            loose.update(unit)
    return frozenset(loose)


def _certain(part: Part) -> Values:
    if part is HOLE:
        return frozenset({ZERO})
    return frozenset({part}) if isinstance(part, str) or part is ZERO else None


def _or(values: Values, part: Part) -> Values:
    more = _certain(part)
    return None if values is None or more is None else values | more


def at_rest(geometry: Geometry, guest: Parts, size: int, active: str, moment: str = "at rest") -> Promise:
    """The promise of a disk whose guest has flushed all that it sees: for models without acts."""
    return Promise(0, moment, geometry, tuple(map(_certain, guest)), frozenset({size}), active)


def widened(promise: Promise, values: Mapping[int, Values]) -> Promise:
    """A promise that says otherwise of some parts."""
    return replace(promise, values=tuple(values.get(part, held) for part, held in enumerate(promise.values)))
