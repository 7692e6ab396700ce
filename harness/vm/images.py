"""The guest's files as values: what a VM is started from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class GuestFiles:
    """One built guest in `directory`: everything in it is read-only and shared by all workers.

    `vmlinux` is the kernel as it runs, `vmlinuz` the same as distributions ship it, `initrd` the guest; `root.ext4` a
    raw file system that holds the same guest, for the flavour whose root is on vda; `modules` the kernel's module tree,
    which libguestfs's appliance needs. `versions` are those of the packages that it was built from.
    """

    directory: Path
    versions: dict[str, str]

    @property
    def digest(self) -> str:
        """The hash of all inputs that it was built from."""
        return self.directory.name
