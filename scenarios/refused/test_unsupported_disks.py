"""Disks on which libvirt does no block jobs: it says so, and what they have stays what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath

import pytest

from harness.acts.asked import Ask
from harness.acts.images import CreateImage
from harness.stack.stack import Stack
from harness.stack.storage_daemon import StorageDaemon
from harness.trial.trial import Trial

_TRANSIENT = "Operation not supported: block jobs are not supported on transient disk 'vdb'"
_NOT_SHARED = "unsupported configuration: shared access for disk 'vdb' requires use of supported storage format"
_DISKS: Mapping[str, str] = {
    "transient": "<source file='/export/images/data.qcow2'/><target dev='vdb' bus='virtio'/><transient/>",
    "shared": "<source file='/export/images/data.qcow2'/><target dev='vdb' bus='virtio'/><shareable/>",
    "without medium": "<target dev='vdb' bus='sata'/>",
}
_OVERLAY = "<disk name='vda' snapshot='no'/><disk name='vdb'><source file='/export/images/top.qcow2'/></disk>"
_COPY = "<disk type='file'><source file='/export/images/copy.qcow2'/><driver type='qcow2'/></disk>"
_CALLS: Mapping[str, Ask] = {
    "commit": Ask("virDomainBlockCommit", {"disk": "vdb", "base": None, "top": None, "bandwidth": 0}, ("ACTIVE",)),
    "pull": Ask("virDomainBlockPull", {"disk": "vdb", "bandwidth": 0}),
    "rebase": Ask("virDomainBlockRebase", {"disk": "vdb", "base": None, "bandwidth": 0}),
    "copy": Ask("virDomainBlockCopy", {"disk": "vdb"}, ("TRANSIENT_JOB",), _COPY),
    "snapshot": Ask(
        "virDomainSnapshotCreateXML",
        {},
        ("DISK_ONLY", "NO_METADATA"),
        f"<domainsnapshot><disks>{_OVERLAY}</disks></domainsnapshot>",
    ),
}
_ROWS: Mapping[tuple[str, str], str] = {
    **{("transient", call): _TRANSIENT for call in _CALLS},
    ("shared", "snapshot"): _NOT_SHARED,
    ("without medium", "commit"): "invalid argument: could not find base image in chain for 'vdb'",
}
_OF_7_0 = {
    ("without medium", "commit"): "unsupported configuration: disk vdb has no source file to be committed",
}
ROWS = [
    pytest.param(disk, call, marks=[pytest.mark.full] if (disk, call) in list(_ROWS)[1:4] else [])
    for disk, call in _ROWS
]


@pytest.mark.parametrize(("disk", "call"), ROWS)
def test_what_cannot_be_done_to_a_disk_is_refused(trial: Trial, disk: str, call: str) -> None:
    """A VM with another vdb than its definition has (live, paused)   stays as it is."""
    trial.create_base()
    trial.do(CreateImage("data", "vdb"))
    vm = trial.define()
    kind, form = ("cdrom", "raw") if disk == "without medium" else ("disk", "raw" if disk == "shared" else "qcow2")
    vdb = f"<disk type='file' device='{kind}'><driver name='qemu' type='{form}'/>{_DISKS[disk]}</disk>"
    trial.put("other.xml", re.sub(r"(?s)(.*)<disk.*?</disk>", rf"\g<1>{vdb}", vm.xml(inactive=True), count=1))
    trial.type("virsh create /export/other.xml --paused").check()

    trial.stage.refused(_CALLS[call], rf"(^|: ){re.escape(_words(disk, call, trial.daemon.stack))}(\n|$)")

    trial.type("virsh destroy vm1").check()
    trial.verify("off again")


_VHOST_USER = "Operation not supported: block jobs are not supported on vhostuser disk 'vdb'"
_OF_VHOST_USER = {"commit": "invalid argument: could not find base image in chain for 'vdb'"}
_SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
_SOCKET = "/export/vhost.sock"


@pytest.mark.needs("vhost-user-disk")
@pytest.mark.parametrize(
    "call", [pytest.param(call, marks=[] if call == "commit" else [pytest.mark.full]) for call in _CALLS]
)
def test_nothing_is_done_to_a_disk_that_another_process_serves(trial: Trial, call: str) -> None:
    """A VM with a vdb of a vhost-user server's (live, paused)   stays as it is: QEMU has no image of it."""
    trial.create_base()
    vm = trial.define()
    with _served(trial):
        source, target = f"<source type='unix' path='{_SOCKET}'/>", "<target dev='vdb' bus='virtio'/>"
        vdb = f"<disk type='vhostuser' device='disk'>{source}{target}</disk>"
        xml = re.sub(r"(<memory )", rf"{_SHARED}\1", vm.xml(inactive=True), count=1)
        trial.put("other.xml", re.sub(r"(<disk )", rf"{vdb}\1", xml, count=1))
        trial.type("virsh create /export/other.xml --paused").check()

        trial.stage.refused(_CALLS[call], rf"(^|: ){re.escape(_OF_VHOST_USER.get(call, _VHOST_USER))}(\n|$)")

        trial.type("virsh destroy vm1").check()
    trial.verify("off again")


@contextmanager
def _served(trial: Trial) -> Iterator[None]:
    """A vhost-user server, QEMU's storage daemon, has a disk without a file."""
    storage = StorageDaemon(trial.daemon.sandbox, PurePosixPath("/export/vhost.nbd"))
    address = {"type": "unix", "path": _SOCKET}
    export = {"type": "vhost-user-blk", "id": "vdb", "node-name": "disk", "writable": True, "addr": address}
    node = {"driver": "null-co", "node-name": "disk", "size": 1 << 20, "read-zeroes": True}
    try:
        storage.execute([("blockdev-add", node), ("block-export-add", export)])
        yield
    finally:
        storage.close()


def _words(disk: str, call: str, stack: Stack) -> str:
    words = _ROWS[disk, call]
    return words if stack.libvirt_version.is_at_least("9.0.0") else _OF_7_0.get((disk, call), words)
