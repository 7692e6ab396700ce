"""The guest's files as values: what a VM is started from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class GuestFiles:
    """One built guest: everything in it is read-only and shared by all workers.

    `modules` is the kernel's module tree (for libguestfs's appliance), `root` a raw ext4 file system that holds the
    same guest, for the flavour whose root is on vda.
    """

    directory: Path
    kernel: Path
    initrd: Path
    modules: Path
    root: Path
    versions: dict[str, str]

    @property
    def digest(self) -> str:
        """The hash of all inputs that it was built from."""
        return self.directory.name

    @classmethod
    def at(cls, directory: Path, versions: dict[str, str]) -> GuestFiles:
        """The files of a finished build in `directory`."""
        modules = next((directory / "modules").iterdir())
        return cls(
            directory,
            directory / "vmlinuz",
            directory / "initrd",
            modules,
            directory / "root.ext4",
            versions,
        )
