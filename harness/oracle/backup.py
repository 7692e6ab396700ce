"""A backup that is on, as a value: of each disk what it showed at the instant when the backup began, and what of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.oracle.bitmap import Bitmap
from harness.oracle.layer import Parts


@dataclass(frozen=True)
class BackedUp:
    """One disk in a backup: what it `shows`, and its `size` in bytes, at the instant.

    `since` is what was written since the checkpoint from which on it is backed up; None: the whole disk is. In push
    mode, QEMU writes to the image `dest`, which is `held` when it has ended well.
    """

    shows: Parts
    size: int
    since: Bitmap | None = None
    dest: str = ""
    held: Parts = ()


@dataclass(frozen=True)
class Backup:
    """A backup that is on, of `disks` by their targets: QEMU writes it to images (`push`), or serves it over NBD.

    `unheard`: for a while no daemon ran that could have told of its end. `made`: libvirt has made the images, and
    removes them if it is cancelled. `tls`: it is served to those alone who encrypt.
    """

    disks: Mapping[str, BackedUp] = field(default_factory=dict)
    push: bool = False
    unheard: bool = False
    made: bool = False
    tls: bool = False

    def __str__(self) -> str:
        return ", ".join(self.disks)
