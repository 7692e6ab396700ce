"""One image file as a value, and what a write, a zero or a discard does to its clusters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from harness.oracle.geometry import Geometry
from harness.oracle.image import QCOW2, Format, Qcow2, Raw, mirror_granularity
from harness.oracle.parts import HOLE, UNDEFINED, ZERO, Blank, Part, Perhaps

Parts = tuple[Part, ...]
"""A value for every part of the disk."""


@dataclass(frozen=True)
class Inside:
    """A snapshot inside an image: the image's own contents at the instant, and the size of its virtual disk in bytes.

    With `memory` it has the guest's memory, too. Unless it is `certain`, nobody knows whether it is there.
    """

    own: Parts
    size: int
    memory: bool = False
    certain: bool = True


@dataclass(frozen=True)
class Layer:
    """An image file: its own contents, and the name of the file that its header names as backing file.

    `size` is that of its virtual disk in bytes. `backing_format` is the name of the backing file's format that the
    header has; with `relative`, it names that file by its place beside it. `inside` are the snapshots inside it, by
    name; `had_memory`: one of them had a guest's memory, for which the file has room.
    """

    own: Parts
    backing: str | None
    size: int
    format: Format = QCOW2
    backing_format: str | None = None
    relative: bool = False
    inside: Mapping[str, Inside] = field(default_factory=dict)
    had_memory: bool = False


def nothing(form: Format, parts: int) -> Parts:
    """The own contents of an image of this format that nobody has written to."""
    return (ZERO if isinstance(form, Raw) and form.is_full else HOLE,) * parts


def reads_zero(part: Part) -> bool:
    """Whether a part that shows this reads as zeros."""
    return part is ZERO or part is HOLE


def alike(one: Part, other: Part) -> bool:
    """Whether two parts read the same."""
    return one == other or (reads_zero(one) and reads_zero(other))


def seen_through(own: Part, below: Part) -> Part:
    """What is seen of one part of a layer over `below`: a hole lets it through."""
    if own is HOLE:
        return below
    if isinstance(own, Perhaps):
        return below if alike(own.value, below) else UNDEFINED
    return own


def over(own: Parts, below: Parts) -> Parts:
    """What is seen when `own` lies over `below`."""
    return tuple(map(seen_through, own, below))


def union(owns: Iterable[Parts]) -> Parts:
    """The own contents of several layers, lowest first, folded into one: a hole if none of them has anything."""
    folded, *others = owns
    for own in others:
        folded = tuple(_folded(part, under) for part, under in zip(own, folded, strict=True))
    return folded


def _folded(part: Part, under: Part) -> Part:
    if isinstance(part, Perhaps):
        return part if under in (HOLE, part) else seen_through(part, under)
    return under if part is HOLE else part


def written(
    layer: Layer, shown: Parts, values: Mapping[int, Part], geometry: Geometry, *, by_mirror: bool = False
) -> Parts:
    """The own contents of `layer`, which showed `shown`, after `values` were written to parts of it.

    A cluster is allocated as a whole: of a hole, the parts that are not written are copied from what was shown there
    (QEMU block/qcow2-cluster.c, perform_cow). Where all that is written to a cluster is UNDEFINED or Perhaps, nobody
    knows whether anything is: then its holes may stay holes. A mirror copies larger units than what a subcluster is.
    """
    size = mirror_granularity(layer.format) if by_mirror else layer.format.unit
    after = list(layer.own)
    units = {geometry.unit_around(part, size) for part in values}
    for unit in units:
        certain = any(is_certain(values.get(part, UNDEFINED)) for part in unit)
        for other in unit:
            held, copied = after[other], ZERO if shown[other] is HOLE else shown[other]
            if held is HOLE:
                after[other] = copied if certain or not isinstance(copied, str | Blank) else Perhaps(copied)
            elif isinstance(held, Perhaps) and certain:
                after[other] = held.value
    for part, value in values.items():
        if not isinstance(value, Perhaps):
            after[part] = value
        elif not alike(plain(after[part]), value.value):
            after[part] = UNDEFINED
    return tuple(after)


def is_certain(part: Part) -> bool:
    """Whether it is known what a part holds, and so, unless that is a hole, that it is allocated."""
    return part is not UNDEFINED and not isinstance(part, Perhaps)


def may_be_hole(part: Part) -> bool:
    """Whether a part may be a hole that lets through what is known to lie below it."""
    return part is HOLE or isinstance(part, Perhaps)


def plain(part: Part) -> str | Blank:
    """What a part is a copy of if it is perhaps one, or else what it is."""
    return part.value if isinstance(part, Perhaps) else part


def discarded(layer: Layer, shown: Parts, parts: frozenset[int], geometry: Geometry) -> Parts:
    """The own contents of `layer`, which showed `shown`, after `parts` were discarded.

    In qcow2 of version 3 a whole cluster reads as zeros afterwards, also over a backing file; in a file without one a
    hole stays a hole (QEMU block/qcow2-cluster.c, discard_in_l2_slice). Of a cluster that is covered in part, QEMU 7.2
    keeps the data (block/qcow2.c, qcow2_co_pdiscard: -ENOTSUP) but promises nothing: UNDEFINED, unless it read as zeros
    before. That is all there is to say of other formats.
    """
    after = list(layer.own)
    form = layer.format
    exact = isinstance(form, Qcow2) and form.compat == "1.1"
    for part in parts:
        if exact and parts.issuperset(geometry.unit_around(part, form.discard_unit)):
            if after[part] is not HOLE or layer.backing is not None:
                after[part] = ZERO
        elif not reads_zero(shown[part]):
            after[part] = UNDEFINED
    return tuple(after)


def doubtful(layer: Layer, shown: Parts, parts: Collection[int]) -> frozenset[int]:
    """Those of `parts` that a discard may or may not change, when it is not certain that it has an effect at all.

    That is so while a mirror is on, and from QEMU 6.0 on while a pull is: the filter node is opened without
    BDRV_O_UNMAP, so QEMU drops the guest's discards and reports success (block/mirror.c, mirror_start_job;
    block/copy-on-read.c; block/io.c, bdrv_co_pdiscard: seen on 7.2, 10.0 and 11.1).
    """
    return frozenset(
        part for part in parts if not reads_zero(shown[part]) or (layer.own[part] is HOLE and layer.backing is not None)
    )


def in_doubt(held: Parts, settled: Parts, shown: Parts) -> Parts:
    """What a file holds while a job changes it from `held`, which shows `shown`, to `settled`, at any moment of that.

    What does not change is certain; a hole that is to hold what is read there anyway is Perhaps; the rest is UNDEFINED.
    """
    return tuple(map(_in_doubt, held, settled, shown))


def _in_doubt(before: Part, after: Part, read: Part) -> Part:
    if before == after:
        return before
    copied = plain(after)
    if alike(copied, read):
        if before is HOLE:
            return Perhaps(copied)
        if isinstance(before, Perhaps) and before.value == copied:
            return before
    return UNDEFINED


def either_inside(one: Mapping[str, Inside], other: Mapping[str, Inside]) -> Mapping[str, Inside]:
    """The snapshots inside an image that has these or the others: those that only one has are not certain."""
    return {
        name: found if one.get(name) == other.get(name) else replace(found, certain=False)
        for name, found in {**other, **one}.items()
    }


def either(one: Parts, other: Parts) -> Parts:
    """What is certain if a file holds `one` or the `other`: UNDEFINED where they differ."""
    return tuple(a if a == b else UNDEFINED for a, b in zip(one, other, strict=True))
