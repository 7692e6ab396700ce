"""How much room an image can take at most: by its format, and by what the oracle says that it holds."""

from __future__ import annotations

from harness.oracle.geometry import Geometry
from harness.oracle.image import LUKS_HEADER, Qcow2, mirror_granularity
from harness.oracle.layer import Layer, Parts
from harness.oracle.parts import HOLE
from harness.readers.own import BLOCK

_ENTRY, _EXTENDED_ENTRY = 8, 16  # bytes
_FIRST_BLOCK = 4096  # QEMU allocates it when it makes a raw file (block/file-posix.c, allocate_first_block)
_SLACK = 2  # clusters, or blocks: what QEMU allocates ahead, or has freed and not yet used again


def most_bytes(layer: Layer, geometry: Geometry, bitmaps: int = 0) -> int:
    """The most bytes that the file of `layer` can take: its data, and the metadata that finds it.

    The rules are those of docs/interop/qcow2.rst: one header; an L1 table with an entry for each L2 table of the disk;
    an L2 table (a cluster) where data are; a refcount table, and a block for each so many clusters; a directory of the
    `bitmaps`, a table and a cluster of bits for each. They are written anew before what was there is freed. Snapshots
    inside may share nothing with it any more; each has an L1 table, and they have a table of their own. With encryption
    there is a header more.
    """
    part = geometry.part_size
    held = _held(layer.own)
    if not isinstance(layer.format, Qcow2):
        # a mirror copies as data, and not as zeros, what lies on both sides of the end of a smaller image below
        across = mirror_granularity(layer.format) if layer.size > geometry.disk_size else 0
        return part * len(held) + _FIRST_BLOCK + across + (LUKS_HEADER if layer.format.secret else 0)
    form, cluster = layer.format, layer.format.cluster_size
    data = len({number * part // cluster for number in held})
    covered = cluster * (cluster // (_EXTENDED_ENTRY if form.subclusters else _ENTRY))  # by one L2 table
    l2 = len({number * part // covered for number in held})
    l1 = _clusters(-(-layer.size // covered) * _ENTRY, cluster)
    # a disk that has grown leaves its former L1 table behind: freed, still in the file, smaller than the new one
    known = 1 + 2 * l1 + l2 + data + 2 * _of_bitmaps(bitmaps)
    known += _clusters(LUKS_HEADER, cluster) if form.secret else 0
    for each in layer.inside.values():
        kept = _held(each.own)
        known += 2 + l1 + sum(len({number * part // size for number in kept}) for size in (cluster, covered))
    blocks = -(-known * form.refcount_bits // (8 * cluster)) + 1
    table = _clusters(blocks * _ENTRY, cluster)
    return cluster * (known + blocks + table) + _SLACK * max(cluster, BLOCK)


def most_kept(form: Qcow2, in_use: int, bitmaps: int = 0) -> int:
    """The most bytes that the file of an image can take in which something refers to `in_use` bytes, in whole blocks.

    What a guest discards is given back to the file system, with discard='unmap'; what `bitmaps` took before they were
    written anew is not (QEMU block/qcow2-bitmap.c, QCOW2_DISCARD_OTHER).
    """
    return in_use + (_SLACK + _of_bitmaps(bitmaps)) * max(form.cluster_size, BLOCK)


def _of_bitmaps(bitmaps: int) -> int:
    """Clusters of a directory of bitmaps, and of a table and bits for each."""
    return 1 + 2 * bitmaps if bitmaps else 0


def _held(own: Parts) -> list[int]:
    return [number for number, value in enumerate(own) if value is not HOLE]


def _clusters(size: int, cluster: int) -> int:
    return max(1, -(-size // cluster))
