"""A disk of a domain: each method that acts is one act, entered in the journal and told to the oracle."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import libvirt

from harness.journal import Kind
from harness.oracle.chain import Chain, Image
from harness.oracle.content import Content
from harness.stack.events import Event, EventKind
from harness.stack.sandbox import image_path
from harness.vm.blockjob import READY_TIMEOUT, BlockJob
from harness.vm.domain_xml import backing_chain, disk_element

if TYPE_CHECKING:
    from harness.vm.domain import Domain

_SNAPSHOT_FLAGS = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
)


class Disk:
    """A disk (`target`: vda), with the oracle's `content` of all its images, which scenarios advance by acting.

    `run` is the id that its marker patterns carry; images are named after the oracle's files: sn1 is sn1.qcow2.
    An `opaque` disk holds the guest's own files: the oracle knows its chain, not its bytes.
    """

    def __init__(self, domain: Domain, target: str, content: Content, run: str) -> None:
        self.domain = domain
        self.target = target
        self.content = content
        self.run = run
        self.opaque = False

    def path(self, name: str) -> PurePosixPath:
        """Where the image of this name lies, as libvirt sees it."""
        return image_path(name)

    def image(self, name: str) -> Image:
        """The image of this name."""
        return Image(name, self.path(name))

    def images(self) -> tuple[Image, ...]:
        """Every image file that should exist by the oracle, in the order in which they were made."""
        return tuple(self.image(name) for name in self.content.files())

    def expected_chain(self) -> Chain:
        """The chain that the oracle expects."""
        return Chain.of(*(self.image(name) for name in self.content.chain()))

    def chain(self) -> Chain:
        """The chain as the running domain's XML has it."""
        return _chain(backing_chain(self.domain.xml(), self.target))

    def configured_chain(self) -> Chain:
        """The chain as the persistent definition has it; libvirt may keep only the active layer there."""
        return _chain(backing_chain(self.domain.xml(inactive=True), self.target))

    def mirror_state(self) -> str:
        """What libvirt knows of the disk's mirror: "no job", "none", "not ready", "ready"."""
        handle = self.domain.handle
        if not self.domain.guarded("blockJobInfo", lambda: handle.blockJobInfo(self.target)):
            return "no job"
        mirror = disk_element(self.domain.xml(), self.target).find("mirror")
        return "none" if mirror is None else "ready" if mirror.get("ready") == "yes" else "not ready"

    def wait_event(self, kind: EventKind, status: str, *, since: int, timeout: float = READY_TIMEOUT) -> Event:
        """The first event later than `since` that tells of this disk's job and has `status`."""

        def wanted(event: Event) -> bool:
            return (
                event.kind is kind
                and event.domain == self.domain.name
                and event.subject == self.target
                and event.status == status
            )

        events = self.domain.daemon.events
        return events.wait(f"{self.target}'s job to be {status}", wanted, since=since, timeout=timeout)

    def snapshot(self, overlay: str) -> Image:
        """Make a new active layer `overlay` on top of the present one (virDomainSnapshotCreateXML, disk only)."""
        xml = (
            f"<domainsnapshot><disks><disk name={quoteattr(self.target)} snapshot='external'>"
            f"<source file={quoteattr(str(self.path(overlay)))}/></disk></disks></domainsnapshot>"
        )
        self._act(f"virDomainSnapshotCreateXML: {self.target} goes on in {overlay}", {"xml": xml})
        handle = self.domain.handle
        self.domain.guarded(f"the snapshot {overlay}", lambda: handle.snapshotCreateXML(xml, _SNAPSHOT_FLAGS))
        self.content = self.content.snapshot(overlay)
        return self.image(overlay)

    def active_commit(self, into: str) -> BlockJob:
        """Start to commit the active layer, and all between, into layer `into` (virDomainBlockCommit, ACTIVE)."""
        base = str(self.path(into))
        handle, flags = self.domain.handle, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE
        self._act(f"virDomainBlockCommit: {self.target} into {into}, active")
        return BlockJob(
            self,
            "active-commit",
            lambda: handle.blockCommit(self.target, base, None, 0, flags),
            ready=lambda content: content.active_commit_ready(into),
            completed=lambda content: content.pivot(),
        )

    def commit(self, top: str, base: str) -> BlockJob:
        """Start to commit the layers from `top` down to, but not with, `base` into `base` (virDomainBlockCommit)."""
        handle = self.domain.handle
        self._act(f"virDomainBlockCommit: {self.target} from {top} into {base}")
        return BlockJob(
            self,
            "commit",
            lambda: handle.blockCommit(self.target, str(self.path(base)), str(self.path(top)), 0, 0),
            completed=lambda content: content.commit(top, base),
        )

    def pull(self, base: str | None = None) -> BlockJob:
        """Start to pull all layers above `base` (None: the whole chain) into the active one (virDomainBlockRebase)."""
        handle, path = self.domain.handle, None if base is None else str(self.path(base))
        self._act(f"virDomainBlockRebase: {self.target} on {base or 'nothing'}")
        return BlockJob(
            self,
            "pull",
            lambda: handle.blockRebase(self.target, path, 0, 0),
            completed=lambda content: content.pull(base),
        )

    def _act(self, text: str, detail: dict[str, str | int | float | bool] | None = None) -> None:
        self.domain.journal.record(Kind.ACT, text, detail)


def _chain(paths: list[PurePosixPath]) -> Chain:
    return Chain.of(*(Image(path.stem, path) for path in paths))
