"""What a trial has proved of points in time, counted: instants of disks that were read as they were, exact bitmaps."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.oracle.bitmap import Bitmap
from harness.oracle.content import Content
from harness.oracle.layer import Parts, is_certain


@dataclass
class Proofs:
    """Each instant of a disk counts once, by what it shows, in whatever file, or from whatever server, it was read.

    An instant that is uncertain in a part, and a bitmap that may say more than it must, count as none.
    """

    instants: dict[tuple[str, str, Parts], int] = field(default_factory=dict)
    bitmaps: dict[tuple[str, str, str, str, Bitmap], int] = field(default_factory=dict)

    def read(self, vm: str, disk: str, content: Content) -> None:
        """All images of a disk were read, and show what the oracle says: those that are not active are instants."""
        shown = {name: content.shows(name) for name in content.files() if content.readable(name)}
        for name in shown:
            if name != content.active:
                self.shown(vm, disk, shown[name], content.layer(name).size)
            for snapshot, held in content.layer(name).inside.items():
                if held.certain:
                    self.shown(vm, disk, content.shows_inside(name, snapshot), held.size)

    def shown(self, vm: str, disk: str, shows: Parts, size: int) -> None:
        """A disk was read that shows this: as an image, or from a server."""
        if all(map(is_certain, shows)):
            self.instants[vm, disk, shows] = size

    def marked(self, vm: str, disk: str, image: str, name: str, bitmap: Bitmap) -> None:
        """A bitmap was read, and says what it must."""
        if bitmap.kept and not bitmap.perhaps:
            self.bitmaps[vm, disk, image, name, bitmap] = len(bitmap.dirty)

    def figures(self) -> dict[str, int]:
        """How many instants, and bytes of them; how many bitmaps, and granules that they have as dirty."""
        return {
            "instants": len(self.instants),
            "bytes": sum(self.instants.values()),
            "bitmaps": len(self.bitmaps),
            "granules": sum(self.bitmaps.values()),
        }
