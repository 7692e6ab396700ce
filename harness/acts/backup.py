"""Backups: what disks held at one instant, while the guest writes on: served over NBD, or written to images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal
from xml.sax.saxutils import quoteattr

from harness.acts.act import VM, Act
from harness.acts.calls import Await, Host, Libvirt
from harness.acts.checkpoint import CreateCheckpoint, checkpoint_xml, marked
from harness.oracle.backup import BackedUp, Backup
from harness.oracle.content import Impossible
from harness.oracle.image import Format
from harness.oracle.job import End
from harness.oracle.state import DIRECTORY, State
from harness.storage.elements import backup_target, scratch_disk
from harness.storage.images import file_image

SOCKET = DIRECTORY.parent / "backup.nbd"


@dataclass(frozen=True, repr=False)
class BeginBackup(Act):
    """Begin a backup of disks, whole or of what was written `since` a checkpoint.

    QEMU serves each at SOCKET under its target; or with `dests`, a new image for each disk, it writes them there:
    libvirt makes it, or with `reuse` it is there. With `checkpoint`, a checkpoint of these disks is made at the same
    instant. With `tls`, QEMU serves those alone who encrypt. With a `secret` what libvirt makes is encrypted with
    it: the images that the backup goes to, or its scratch files. With a `port` QEMU serves
    there, on the loopback interface inside the stack, where a reader of ours cannot come.
    """

    disks: tuple[str, ...] = ("vda",)
    dests: tuple[str, ...] = ()
    since: str = ""
    checkpoint: str = ""
    reuse: bool = False
    tls: bool = False
    secret: str = ""
    port: int = 0
    vm: str = VM

    def call(self, state: State) -> Libvirt:
        """virDomainBackupBegin; libvirt makes the scratch files, and removes them."""
        since = f"<incremental>{self.since}</incremental>" if self.since else ""
        if self.dests:
            disks = [
                backup_target(disk, state.store(dest), self._form(state, disk, dest))
                for disk, dest in zip(self.disks, self.dests, strict=True)
            ]
            server = ""
        else:
            disks = [
                scratch_disk(disk, file_image(DIRECTORY, f"scratch-{disk}").store, self.secret) for disk in self.disks
            ]
            tls = " tls='yes'" if self.tls else ""
            at_socket = f"transport='unix' socket={quoteattr(str(SOCKET))}"
            at_port = f"transport='tcp' name='127.0.0.1' port='{self.port}'"
            server = f"<server {at_port if self.port else at_socket}{tls}/>"
        disks += [f"<disk name='{disk}' backup='no'/>" for disk in state.vm(self.vm).disks if disk not in self.disks]
        mode = "push" if self.dests else "pull"
        xml = f"<domainbackup mode='{mode}'>{since}{server}<disks>{''.join(disks)}</disks></domainbackup>"
        made = CreateCheckpoint(self.checkpoint, self.disks, vm=self.vm)
        checkpoint = checkpoint_xml(state, self.vm, made) if self.checkpoint else None
        flags = ("REUSE_EXTERNAL",) if self.reuse else ()
        return Libvirt("virDomainBackupBegin", self.vm, {"checkpoint": checkpoint}, flags, xml)

    def _form(self, state: State, disk: str, dest: str) -> Format:
        content = state.disk(self.vm, disk)
        return content.layer(dest).format if self.reuse else content.overlaid(self.secret)

    def after(self, state: State) -> State:
        """The backup is on; the images that it writes to are in doubt."""
        found = {}
        state.without_backup(self.vm)
        if self.since and self.since not in state.live(self.vm).checkpoints:
            raise Impossible(f"{self.vm} has no checkpoint {self.since}")
        for number, disk in enumerate(self.disks):
            content = state.operated(self.vm, disk)
            if content.job is not None:
                raise Impossible(f"{disk} has a job")
            since = content.written_since(self.since) if self.since else None
            if since is not None and not since.kept:
                raise Impossible(f"the bitmap {self.since} of {disk} may be lost")
            dest = self.dests[number] if self.dests else ""
            found[disk] = BackedUp(content.guest(), content.size, since, dest)
            state.require_secret(content.overlaid(self.secret))
            if dest:
                if not self.reuse:
                    state.require_free(dest)
                made = None if self.reuse else self._form(state, disk, dest)
                content, held = content.backed_up(dest, since, made)
                found[disk] = replace(found[disk], held=held)
                state = state.with_disk(self.vm, disk, content)
        state = state.with_vm(
            self.vm,
            replace(state.vm(self.vm), backup=Backup(found, bool(self.dests), made=not self.reuse, tls=self.tls)),
        )
        return marked(state, self.vm, self.checkpoint, self.disks) if self.checkpoint else state

    def __str__(self) -> str:
        since = f" since {self.since}" if self.since else ""
        dests = f" to {', '.join(self.dests)}" if self.dests else ""
        return f"a backup of {', '.join(self.disks)}{since} begins{dests}"


@dataclass(frozen=True, repr=False)
class AwaitBackup(Act):
    """Wait until QEMU has written the backup."""

    vm: str = VM

    def call(self, state: State) -> Await:
        """Wait."""
        backup = state.vm(self.vm).backup
        return Await(self.vm, "backed up", " ".join(backup.disks) if backup else "")

    def after(self, state: State) -> State:
        """Its images hold the instant."""
        backup = state.live(self.vm).backup
        if backup is None or not backup.push:
            raise Impossible(f"{self.vm} has no backup that ends by itself")
        return _ended(state, self.vm, "completed")

    def __str__(self) -> str:
        return "the backup is written"


@dataclass(frozen=True, repr=False)
class EndBackup(Act):
    """End the backup, which is how one in pull mode ends well.

    What one in push mode has written is of no instant, and removed, if libvirt has made the image.
    """

    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """virDomainAbortJob."""
        return Libvirt("virDomainAbortJob", self.vm)

    def after(self, state: State) -> State:
        """No backup is on."""
        backup = state.live(self.vm).backup
        if backup is None:
            raise Impossible(f"{self.vm} has no backup that is on")
        if not backup.push:
            return _ended(state, self.vm, "canceled")
        if not any(state.is_slow(self.vm, disk) and each.since is None for disk, each in backup.disks.items()):
            raise Impossible("it may have ended by itself")
        return _ended(state, self.vm, "canceled", held=False)

    def __str__(self) -> str:
        return "the backup ends"


@dataclass(frozen=True, repr=False)
class ClientBackup(Act):
    """Have a `command` of others back up all disks of a VM, into the directory `into`: it begins and ends the backup.

    It makes a `checkpoint`, and copies what was written `since` another, if one is named.
    """

    command: tuple[str, ...]
    into: str
    since: str = ""
    checkpoint: str = ""
    vm: str = VM

    def call(self, state: State) -> Host:  # noqa: ARG002
        """The command, inside the stack."""
        return Host(self.command)

    def after(self, state: State) -> State:
        """The disks are as they were, libvirt has the checkpoint, and the directory is there."""
        begun = BeginBackup(tuple(state.vm(self.vm).disks), (), self.since, self.checkpoint, vm=self.vm).after(state)
        ended = EndBackup(self.vm).after(begun)
        return replace(ended, files=ended.files | {PurePosixPath(self.into)})

    def __str__(self) -> str:
        return f"{self.command[0]} backs {self.vm} up"


def _ended(state: State, vm: str, how: Literal["completed", "canceled"], *, held: bool = True) -> State:
    backup = state.vm(vm).backup
    assert backup is not None
    for disk, each in backup.disks.items():
        content = state.disk(vm, disk).with_end(End("backup", how, certain=not backup.unheard))
        if each.dest and held:
            content = content.holding(each.dest, each.held)
        elif each.dest and backup.made:
            content = content.remove(each.dest)
        state = state.with_disk(vm, disk, content)
    return state.with_vm(vm, replace(state.vm(vm), backup=None))


def url(disk: str) -> str:
    """What an NBD client in the stack reads the backup of a disk from."""
    return f"nbd+unix:///{disk}?socket={SOCKET}"
