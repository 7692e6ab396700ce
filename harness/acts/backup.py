"""Backups in pull mode: QEMU serves what the disk held at one instant over NBD, while the guest writes on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from xml.sax.saxutils import quoteattr

from harness.acts.act import VM, Act
from harness.acts.calls import Libvirt
from harness.oracle.content import Impossible
from harness.oracle.job import End
from harness.oracle.state import DIRECTORY, State
from harness.storage.elements import backup_disk
from harness.storage.images import file_image

SOCKET = DIRECTORY.parent / "backup.nbd"


@dataclass(frozen=True, repr=False)
class BeginPullBackup(Act):
    """Begin a full backup of a disk, which QEMU serves at SOCKET under the disk's name."""

    disk: str
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainBackupBegin; libvirt makes the scratch file, and removes it."""
        disk = backup_disk(self.disk, file_image(DIRECTORY, "scratch").store)
        server = f"<server transport='unix' socket={quoteattr(str(SOCKET))}/>"
        xml = f"<domainbackup mode='pull'>{server}<disks>{disk}</disks></domainbackup>"
        return Libvirt("virDomainBackupBegin", self.vm, {"checkpoint": None}, (), xml)

    def after(self, state: State) -> State:
        """The backup is on; no content changes."""
        if state.operated(self.vm, self.disk).job is not None:
            raise Impossible(f"{self.disk} has a job")
        return state.with_vm(self.vm, replace(state.vm(self.vm), backup=self.disk))

    def __str__(self) -> str:
        return f"a backup of {self.disk} begins"


@dataclass(frozen=True, repr=False)
class EndBackup(Act):
    """End the backup, which is how one in pull mode ends well."""

    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainAbortJob."""
        return Libvirt("virDomainAbortJob", self.vm)

    def after(self, state: State) -> State:
        """No backup is on."""
        if not state.live(self.vm).backup:
            raise Impossible(f"{self.vm} has no backup that is on")
        disk = state.vm(self.vm).backup
        ended = state.with_disk(self.vm, disk, state.disk(self.vm, disk).with_end(End("backup", "canceled")))
        return ended.with_vm(self.vm, replace(ended.vm(self.vm), backup=""))

    def __str__(self) -> str:
        return "the backup ends"


def url(disk: str) -> str:
    """What an NBD client in the stack reads the backup of a disk from."""
    return f"nbd+unix:///{disk}?socket={SOCKET}"
