"""A backup in pull mode: QEMU serves what the disk held at one instant over NBD, while the guest writes on."""

from __future__ import annotations

from pathlib import PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Self
from xml.sax.saxutils import quoteattr

from harness.journal import Kind
from harness.stack.sandbox import IMAGES

if TYPE_CHECKING:
    from harness.vm.domain import Domain

SOCKET = IMAGES.parent / "backup.nbd"


class PullBackup:
    """A full backup of the disk vda, from virDomainBackupBegin to virDomainAbortJob, which is how it ends well.

    `url` is what an NBD client in the stack reads it from. `scratch` is a file that libvirt makes for what the guest
    overwrites meanwhile, and removes.
    """

    def __init__(self, domain: Domain, scratch: PurePosixPath) -> None:
        self.url = f"nbd+unix:///{domain.disk.target}?socket={SOCKET}"
        self._domain = domain
        self._xml = (
            f"<domainbackup mode='pull'><server transport='unix' socket={quoteattr(str(SOCKET))}/><disks>"
            f"<disk name={quoteattr(domain.disk.target)} backup='yes' type='file'>"
            f"<scratch file={quoteattr(str(scratch))}/></disk></disks></domainbackup>"
        )

    def __enter__(self) -> Self:
        self._domain.journal.record(Kind.ACT, "virDomainBackupBegin", {"xml": self._xml})
        handle = self._domain.handle
        self._domain.guarded("the start of the backup", lambda: handle.backupBegin(self._xml, None, 0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the backup."""
        self._domain.journal.record(Kind.ACT, "virDomainAbortJob: the backup is ended")
        self._domain.guarded("the end of the backup", self._domain.handle.abortJob)
