"""Guests that were booted once, saved, and are handed out restored: a throwaway VM in a fraction of its boot."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Self

import libvirt
from filelock import FileLock

from harness.errors import ChainproofError
from harness.journal import Kind
from harness.oracle.geometry import Geometry
from harness.stack.acceleration import Acceleration
from harness.stack.configuration import Mode
from harness.stack.daemon import WARM
from harness.stack.sandbox import IMAGES
from harness.stack.stack import Stack
from harness.vm.domain import NAME, Domain
from harness.vm.domain_xml import Machine, backing_chain, domain_xml, with_source
from harness.vm.guest import Guest
from harness.vm.images import GuestFiles

_KEPT = 24  # saved guests, of some 65 MB each: what was used last, of every stack and shape (7 releases have 21)
FELL_BACK = "booted since its restore failed"
"""How a guest came up whose saved file could not be used."""

_BEING_SAVED = IMAGES.parent / "being-saved"
# Nothing of vda may be cached in the guest, and what is free in its memory should be zeros: QEMU does not save those.
_SETTLE = """
set -e
sync
blockdev --flushbufs /dev/vda
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
    def of(cls, cache: Path, stack: Stack, guest: GuestFiles, acceleration: Acceleration, mode: Mode) -> Self:
        """Those of a stack, whatever its VMs are upgraded to later, in `cache`."""
        by = f"{replace(stack, newer=None)} {stack.provenance}"
        return cls(cache / "warm", f"{by} {guest.digest} {acceleration} {mode}")

    def bring_up(self, domain: Domain) -> Guest:
        """Start a defined domain from the saved guest of its shape, which is made first where there is none."""
        saved = self._saved(domain)
        try:
            with domain.journal.timed("boot"):
                guest = domain.restore(WARM / saved.name, self._changed_xml(domain, saved))
        except (ChainproofError, libvirt.libvirtError) as error:
            domain.journal.record(Kind.NOTE, f"the saved guest cannot be restored, so it boots: {error}")
            self.booted += 1
            domain.stop_hard()
            saved.unlink(missing_ok=True)
            return domain.start()
        self.restored += 1
        return guest

    def file_for(self, domain: Domain) -> Path:
        """The file of the saved guest that fits the domain, there or not: the same but for the image of its disk."""
        return self._file(domain.machine, domain.disk.content.geometry.disk_size)

    def file_in_sandbox(self, machine: Machine, size: int = Geometry().disk_size) -> PurePosixPath:
        """Where the sandbox sees the saved guest of a machine with a disk of `size` bytes."""
        return WARM / self._file(machine, size).name

    def _file(self, machine: Machine, size: int) -> Path:
        shape = domain_xml(NAME, machine, PurePosixPath("any"), IMAGES.parent)
        key = hashlib.sha256(f"{self._provenance}\n{shape}\n{size}\n{_SETTLE}".encode()).hexdigest()[:16]
        return self.directory / key

    def _saved(self, domain: Domain) -> Path:
        file = self.file_for(domain)
        if not file.exists():
            with FileLock(self.directory / "lock"):
                if not file.exists():
                    self._make(domain, file)
        with suppress(FileNotFoundError):  # another run may have removed it just now: then it cannot be restored
            os.utime(file)
        return file

    def _make(self, domain: Domain, file: Path) -> None:
        domain.start().run(_SETTLE)
        domain.save(_BEING_SAVED)
        fresh = domain.daemon.sandbox.outside(_BEING_SAVED)
        scratch = file.with_name(f"{file.name}.{os.getpid()}")
        try:
            shutil.move(fresh, scratch)
            scratch.rename(file)
        finally:
            scratch.unlink(missing_ok=True)
        saved = [other for other in self.directory.iterdir() if other.name != "lock"]
        for old in sorted(saved, key=lambda other: other.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)

    def _changed_xml(self, domain: Domain, saved: Path) -> str | None:
        """The saved guest's XML with the image that the domain's disk has now; None if it was saved with that one."""
        connection = domain.daemon.connection
        xml = str(connection.saveImageGetXMLDesc(str(WARM / saved.name), libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE))
        chain, path = backing_chain(xml, domain.disk.target), domain.disk.expected_chain().active.path
        return None if chain == [path] else with_source(xml, domain.disk.target, path)
