"""Guests that were booted once, saved, and are handed out restored: a throwaway VM in a fraction of its boot."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Self

import libvirt

from harness.errors import ChainproofError, CheckFailed
from harness.keeping.directory import KeptDirectory, sweep
from harness.keeping.locks import locked
from harness.oracle.driver import DRIVER, UNSEEN
from harness.oracle.image import Image
from harness.settings import Mode
from harness.stack.acceleration import Acceleration
from harness.stack.daemon import WARM
from harness.stack.sandbox import IMAGES
from harness.stack.stack import Stack
from harness.vm.domain import Domain
from harness.vm.domain_view import driver_of, has_only_image, with_driver, with_source
from harness.vm.domain_xml import DiskSpec, Machine, domain_xml
from harness.vm.images import GuestFiles

_LOCK = "lock"
_LOCK_SECONDS = 250.0  # before a test that waits is ended from outside
_SCRATCH = "saved"
_KEPT = 24  # saved guests, of some 65 MB each: what was used last, of every stack and shape (7 releases have 21)
FELL_BACK = "booted since its restore failed"
"""How a guest came up whose saved file could not be used."""

NAME = "vm1"
_BEING_SAVED = IMAGES.parent / "being-saved"
# Drop cached pages of the disks (stale after a restore); zero free memory (QEMU skips zero pages: a smaller file).
_SETTLE = """
set -e
sync
for disk in /dev/[sv]d?; do [ ! -b "$disk" ] || blockdev --flushbufs "$disk"; done
mount -o remount,size=100% /tmp
echo 3 >/proc/sys/vm/drop_caches
free=$(awk '/^MemFree:/ { print $2 }' /proc/meminfo)
dd if=/dev/zero of=/tmp/zeros bs=64k count=$(((free - 8192) / 64)) 2>/dev/null
rm /tmp/zeros
"""


class WarmGuests:
    """Saved guests in `directory`, each by the hash of everything that went into it; built once for all workers.

    `provenance` names what runs them: libvirt, QEMU, the built guest, libvirt's mode. Counts how often a guest was
    `restored`, and how often that failed and it was booted instead (`booted`).
    """

    def __init__(self, directory: Path, provenance: str) -> None:
        self.directory = directory
        self.restored = 0
        self.booted = 0
        self._provenance = provenance
        directory.mkdir(parents=True, exist_ok=True)

    @classmethod
    def of(cls, directory: Path, stack: Stack, guest: GuestFiles, acceleration: Acceleration, mode: Mode) -> Self:
        """Those of a stack, whatever its VMs are upgraded to later, in `directory`."""
        by = f"{replace(stack, newer=None)} {stack.provenance}"
        return cls(directory, f"{by} {guest.digest} {acceleration} {mode}")

    def bring_up(self, domain: Domain, machine: Machine, disks: Sequence[DiskSpec], sizes: Sequence[int]) -> str:
        """Start a defined domain from the saved guest of its shape, which is made first where there is none.

        Returns "" if it was restored, or why it was booted.
        """
        saved = self.file(machine, disks, sizes, domain.name)
        try:
            self._provide(domain, saved, disks)
            domain.restore(WARM / saved.name, self._changed_xml(domain, saved, disks))
        except (ChainproofError, libvirt.libvirtError, OSError) as error:
            if isinstance(error, CheckFailed) or domain.daemon.ailment():
                raise
            self.booted += 1
            domain.stop_hard()
            saved.unlink(missing_ok=True)
            domain.start()
            return f"the guest cannot be saved or restored, so it boots: {error}"
        self.restored += 1
        return ""

    def file(self, machine: Machine, disks: Sequence[DiskSpec], sizes: Sequence[int], name: str = NAME) -> Path:
        """The file of the saved guest of that shape, there or not: which images the disks have does not matter."""
        shape = domain_xml(name, machine, [_of_any_image(disk) for disk in disks], IMAGES.parent)
        key = hashlib.sha256(f"{self._provenance}\n{shape}\n{sizes}\n{_SETTLE}".encode()).hexdigest()[:16]
        return self.directory / key

    def file_in_sandbox(self, machine: Machine, disks: Sequence[DiskSpec], sizes: Sequence[int]) -> PurePosixPath:
        """Where the sandbox sees it."""
        return WARM / self.file(machine, disks, sizes).name

    def _provide(self, domain: Domain, file: Path, disks: Sequence[DiskSpec]) -> None:
        if not file.exists():
            with locked(self.directory / _LOCK, "saved guests", timeout=_LOCK_SECONDS):
                if not file.exists():
                    self._make(domain, file, disks)
        with suppress(FileNotFoundError):  # another run may have removed it just now: then it cannot be restored
            os.utime(file)

    def _make(self, domain: Domain, file: Path, disks: Sequence[DiskSpec]) -> None:
        domain.start()
        for disk in disks:
            domain.port.await_disk(disk.target)
        domain.agent.run(_SETTLE)
        domain.save(_BEING_SAVED)
        fresh = domain.daemon.sandbox.outside(_BEING_SAVED)
        sweep(self.directory, _SCRATCH)
        with KeptDirectory(self.directory, _SCRATCH) as scratch:  # to appear whole, whatever file system it comes from
            shutil.move(fresh, scratch.path / file.name)
            (scratch.path / file.name).rename(file)
        saved = [other for other in self.directory.iterdir() if other.is_file() and other.name != _LOCK]
        for old in sorted(saved, key=lambda other: other.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)

    def _changed_xml(self, domain: Domain, saved: Path, disks: Sequence[DiskSpec]) -> str | None:
        """The saved guest's XML with the images that the domain's disks have now; None if it was saved with those."""
        connection = domain.daemon.connection
        xml = str(connection.saveImageGetXMLDesc(str(WARM / saved.name), libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE))
        changed = xml
        for disk in disks:
            if not has_only_image(xml, disk.target, disk.image):
                changed = with_source(changed, disk.target, disk.image)
            saved_with, unseen = driver_of(xml, disk.target), {name: getattr(disk.driver, name) for name in UNSEEN}
            if any(saved_with.get(name, "") != value for name, value in unseen.items()):
                changed = with_driver(changed, disk.target, unseen)
        return None if changed == xml else changed


def _of_any_image(disk: DiskSpec) -> DiskSpec:
    """The disk as its guest sees it: on any image, however QEMU reads and writes that."""
    seen = replace(disk.driver, **{name: getattr(DRIVER, name) for name in UNSEEN})
    return replace(disk, image=Image("any", disk.image.format), driver=seen)
