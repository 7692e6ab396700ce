"""One image file as a value, and what a write, a zero or a discard does to its clusters."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from harness.oracle.geometry import Geometry
from harness.oracle.parts import HOLE, UNDEFINED, ZERO, Part

Parts = tuple[Part, ...]
"""A value for every part of the disk."""


@dataclass(frozen=True)
class Layer:
    """An image file: its own contents, and the name of the file that its header names as backing file."""

    own: Parts
    backing: str | None


def over(own: Parts, below: Parts) -> Parts:
    """What is seen when `own` lies over `below`: a hole lets it through."""
    return tuple(under if part is HOLE else part for part, under in zip(own, below, strict=True))


def union(owns: Iterable[Parts]) -> Parts:
    """The own contents of several layers, lowest first, folded into one."""
    folded, *others = owns
    for own in others:
        folded = over(own, folded)
    return folded


def written(own: Parts, shown: Parts, parts: Collection[int], value: Part, geometry: Geometry) -> Parts:
    """`own` after `value` was written to `parts` of a file that showed `shown`.

    A cluster is allocated as a whole: of a hole, the parts that are not written are copied from what was shown there
    (QEMU block/qcow2-cluster.c, perform_cow).
    """
    after = list(own)
    for part in parts:
        for other in geometry.cluster_around(part):
            if after[other] is HOLE:
                after[other] = ZERO if shown[other] is HOLE else shown[other]
    for part in parts:
        after[part] = value
    return tuple(after)


def discarded(layer: Layer, shown: Parts, parts: frozenset[int], geometry: Geometry) -> Parts:
    """The own contents of `layer`, a qcow2 image of version 3 that showed `shown`, after `parts` were discarded.

    A whole cluster reads as zeros afterwards, also over a backing file; in a file without one a hole stays a hole
    (QEMU block/qcow2-cluster.c, discard_in_l2_slice). Of a cluster that is covered in part, QEMU 7.2 keeps the data
    (block/qcow2.c, qcow2_co_pdiscard: -ENOTSUP) but promises nothing: UNDEFINED, unless it read as zeros before.
    """
    after = list(layer.own)
    for part in parts:
        if parts.issuperset(geometry.discard_unit_around(part)):
            if after[part] is not HOLE or layer.backing is not None:
                after[part] = ZERO
        elif shown[part] not in (ZERO, HOLE):
            after[part] = UNDEFINED
    return tuple(after)


def doubtful(layer: Layer, shown: Parts, parts: frozenset[int]) -> frozenset[int]:
    """Those of `parts` that a discard may or may not change, when it is not certain that it has an effect at all.

    That is so while a mirror is awake: its filter node is opened without BDRV_O_UNMAP, so QEMU 7.2 drops the guest's
    discards and reports success (block/mirror.c, mirror_start_job; block/io.c, bdrv_co_pdiscard).
    """
    return frozenset(
        part
        for part in parts
        if shown[part] not in (ZERO, HOLE) or (layer.own[part] is HOLE and layer.backing is not None)
    )
