"""The dirty bitmaps of a disk: what was written to each image since a checkpoint, in granules.

libvirt keeps a bitmap of a checkpoint's name in each image of the chain from the active one down to that which was
active when the checkpoint was made; all of them record (libvirt docs/kbase/internals/incremental-backup.rst). A job
that folds images joins theirs. The rules for what sets a bit are QEMU's: block/io.c, bdrv_co_write_req_finish.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from harness.oracle.geometry import Geometry
from harness.oracle.image import Qcow2

Granules = frozenset[int]


@dataclass(frozen=True)
class Bitmap:
    """A bitmap in one image, of granules of `granularity` bytes: those that are `dirty`, and those that `perhaps` are.

    Unless it is `kept`, nobody knows whether it is there, or marked as inconsistent: QEMU has ended without closing the
    image. If it is neither, what it says must hold.
    """

    granularity: int
    dirty: Granules = frozenset()
    perhaps: Granules = frozenset()
    kept: bool = True

    def wrote(self, parts: Iterable[int], geometry: Geometry, *, certain: bool = True) -> Bitmap:
        """The bitmap after a write to `parts` of the image; unless that is `certain`, they are only perhaps dirty."""
        found = _touched(parts, geometry.part_size, self.granularity)
        if certain:
            return replace(self, dirty=self.dirty | found, perhaps=self.perhaps - found)
        return replace(self, perhaps=self.perhaps | (found - self.dirty))

    def joined(self, other: Bitmap) -> Bitmap:
        """The bitmap after the `other` was merged into it; its granularity stays what it is."""
        dirty = self.dirty | _touched(other.dirty, other.granularity, self.granularity)
        perhaps = self.perhaps | _touched(other.perhaps, other.granularity, self.granularity)
        return replace(self, dirty=dirty, perhaps=perhaps - dirty, kept=self.kept and other.kept)

    def either(self, other: Bitmap) -> Bitmap:
        """This bitmap or the `other`, which nobody can tell."""
        dirty = self.dirty & other.dirty
        perhaps = (self.dirty | other.dirty | self.perhaps | other.perhaps) - dirty
        return replace(self, dirty=dirty, perhaps=perhaps, kept=self.kept and other.kept)

    def parts(self, granules: Granules, geometry: Geometry) -> frozenset[int]:
        """The parts of the disk that these granules cover."""
        found = _touched(granules, self.granularity, geometry.part_size)
        return frozenset(part for part in found if part < geometry.parts)


def _touched(units: Iterable[int], size: int, other: int) -> frozenset[int]:
    """The units of `other` bytes that lie in these of `size` bytes, whole or in part."""
    return frozenset(found for unit in units for found in range(unit * size // other, -(-((unit + 1) * size) // other)))


Bitmaps = Mapping[str, Mapping[str, Bitmap]]
"""Those in each image, by its name, by their names."""


def granularity(form: Qcow2) -> int:
    """The granularity of a bitmap that is made without one (QEMU block.c, bdrv_get_default_bitmap_granularity)."""
    return max(4096, min(65536, form.cluster_size))


def wrote(bitmaps: Bitmaps, image: str, parts: Iterable[int], geometry: Geometry, *, certain: bool = True) -> Bitmaps:
    """The bitmaps after a write to an image."""
    found = bitmaps.get(image)
    if not found:
        return bitmaps
    parts = tuple(parts)
    return {**bitmaps, image: {name: each.wrote(parts, geometry, certain=certain) for name, each in found.items()}}


def covered(bitmaps: Bitmaps, below: str, overlay: str) -> Bitmaps:
    """The bitmaps after an empty `overlay` was put on the image `below`: it has the same ones, and they are empty.

    libvirt takes those that record, and no inconsistent one (qemu_snapshot.c, qemuSnapshotDiskBitmapsPropagate).
    """
    found = bitmaps.get(below)
    if not found:
        return bitmaps
    return {**bitmaps, overlay: {name: Bitmap(each.granularity, kept=each.kept) for name, each in found.items()}}


def folded(bitmaps: Bitmaps, images: Iterable[str], target: str) -> Bitmaps:
    """The bitmaps after `images` (lowest first) were folded into `target`: all that the highest one has are joined.

    Where the target has none of a name, it gets one (libvirt qemu_block.c, qemuBlockGetBitmapMergeActions).
    """
    *_, top = images = tuple(images)
    names = bitmaps.get(top, {})
    if not names:
        return bitmaps
    own = dict(bitmaps.get(target, {}))
    for name in names:
        sources = [bitmaps[image][name] for image in images if name in bitmaps.get(image, {}) and image != target]
        for each in sources:
            own[name] = own.get(name, Bitmap(each.granularity)).joined(each)
    return {**bitmaps, target: own}


def lost(bitmaps: Bitmaps, images: Iterable[str]) -> Bitmaps:
    """The bitmaps after QEMU has ended with these images open for writing: in their files, they are what they were."""
    return {
        **bitmaps,
        **{
            image: {name: replace(each, kept=False) for name, each in bitmaps[image].items()}
            for image in images
            if bitmaps.get(image)
        },
    }


def undone(bitmaps: Bitmaps, before: Bitmaps, names: frozenset[str]) -> Bitmaps:
    """The bitmaps, but those of these `names` as they were `before`, where they were."""
    return {
        image: {name: before.get(image, {}).get(name, each) if name in names else each for name, each in found.items()}
        for image, found in bitmaps.items()
    }


def without(bitmaps: Bitmaps, images: Iterable[str]) -> Bitmaps:
    """The bitmaps without those of these images."""
    gone = set(images)
    return {image: found for image, found in bitmaps.items() if image not in gone}


def either(one: Bitmaps, other: Bitmaps) -> Bitmaps:
    """The bitmaps `one` or the `other`: what one of them lacks is perhaps there."""
    found: dict[str, dict[str, Bitmap]] = {}
    for image in one.keys() | other.keys():
        left, right = one.get(image, {}), other.get(image, {})
        found[image] = {
            name: left[name].either(right[name])
            if name in left and name in right
            else replace(left.get(name) or right[name], kept=False)
            for name in left.keys() | right.keys()
        }
    return {image: each for image, each in found.items() if each}
