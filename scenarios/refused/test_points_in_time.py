"""What libvirt must refuse of snapshots, checkpoints and backups: it says why in these words, and nothing changes.

A row is what is done before, what is refused, and the words: those of 9.0.0 and later, unless they are told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.asked import Ask
from harness.acts.backup import BeginBackup, EndBackup
from harness.acts.chain import ActiveCommit, AwaitReady, Pivot, Pull
from harness.acts.checkpoint import CreateCheckpoint
from harness.acts.images import CreateImage
from harness.acts.power import ShutOff, Undefine
from harness.acts.records import DeleteSnapshot
from harness.acts.revert import RevertToSnapshot
from harness.acts.snapshot import InternalSnapshot, Snapshot
from harness.oracle.content import Impossible
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

Row = tuple[Sequence[Act], Act, str]
_AT = "/export/images/"


def _snapshot(disks: str, *flags: str, more: str = "") -> Ask:
    xml = f"<domainsnapshot>{more}<disks>{disks}</disks></domainsnapshot>"
    return Ask("virDomainSnapshotCreateXML", {}, flags, xml)


def _external(file: str, driver: str = "", disk: str = "vda") -> str:
    form = f"<driver type='{driver}'/>" if driver else ""
    return f"<disk name='{disk}' snapshot='external'>{form}<source file='{file}'/></disk>"


def _checkpoint(body: str, *flags: str) -> Ask:
    return Ask("virDomainCheckpointCreateXML", {}, flags, f"<domaincheckpoint>{body}</domaincheckpoint>")


def _backup(body: str, mode: str = "push", since: str = "") -> Ask:
    more = f"<incremental>{since}</incremental>" if since else ""
    server = "<server transport='unix' socket='/export/b.nbd'/>" if mode == "pull" else ""
    xml = f"<domainbackup mode='{mode}'>{more}{server}{body}</domainbackup>"
    return Ask("virDomainBackupBegin", {"checkpoint": None}, (), xml)


_LATE = (Snapshot("vda", "late", name="late"),)
_RECORDED = (Snapshot("vda", "one", name="one"), Snapshot("vda", "two", name="two"))
_CHECKED = (CreateCheckpoint("ck1"),)
_ON = (BeginBackup(),)
_BITMAP = "<disks><disk name='vda' checkpoint='bitmap'/></disks>"
_NBD = "<disk name='vda' type='network'><target protocol='nbd' name='x'><host name='h'/></target></disk>"
_LOCKED = r"Timed out during operation: cannot acquire state change lock \(held by monitor=\w+BackupBegin\)"
SNAPSHOTS: Mapping[str, Row] = {
    "snapshot of no disk": (
        (),
        _snapshot("<disk name='vda' snapshot='no'/>", "DISK_ONLY"),
        "disk-only snapshots require at least one disk to be selected for snapshot|nothing selected for snapshot",
    ),
    "snapshot over an image that is there": (
        (CreateImage("late"),),
        _snapshot(_external(f"{_AT}late.qcow2"), "DISK_ONLY"),
        "external snapshot file for disk vda already exists and is not a block device: /export/images/late.qcow2",
    ),
    "snapshot into an image that is not there": (
        (),
        _snapshot(_external(f"{_AT}late.qcow2"), "DISK_ONLY", "REUSE_EXT"),
        "missing existing file for disk vda: /export/images/late.qcow2: No such file or directory",
    ),
    "snapshot in a format without backing files": (
        (),
        _snapshot(_external(f"{_AT}late.raw", "raw"), "DISK_ONLY"),
        "external snapshot format for disk vda is unsupported: raw",
    ),
    "snapshot to a relative path": (
        (),
        _snapshot(_external("late.qcow2"), "DISK_ONLY"),
        "disk snapshot image path 'late.qcow2' must be absolute",
    ),
    "snapshot of a disk that is not there": (
        (),
        _snapshot(_external(f"{_AT}late.qcow2", disk="vdz"), "DISK_ONLY"),
        "no disk named 'vdz'",
    ),
    "snapshot of a disk twice": (
        (),
        _snapshot(_external(f"{_AT}late.qcow2") * 2, "DISK_ONLY"),
        "too many disk snapshot requests for domain",
    ),
    "snapshot of a name that is taken": (
        _LATE,
        _snapshot(_external(f"{_AT}later.qcow2"), "DISK_ONLY", more="<name>late</name>"),
        "domain moment late already exists|domain snapshot late already exists|cannot change between",
    ),
    "quiesced snapshot of the memory": (
        (),
        _snapshot(_external(f"{_AT}late.qcow2"), "QUIESCE", more=f"<memory snapshot='external' file='{_AT}memory'/>"),
        "Flag 'VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY' is required by flag 'VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE'",
    ),
    "deletion of a snapshot that is not there": (
        (),
        Ask("virDomainSnapshotDelete", {"name": "none"}),
        "no domain snapshot with matching name 'none'",
    ),
    "undefinition of a VM that is off and has two snapshots": (
        (*_RECORDED, ShutOff()),
        Undefine(),
        "cannot delete inactive domain with 2 snapshots",
    ),
    "deletion of an external snapshot and its children": (
        _RECORDED,
        DeleteSnapshot("one", children=True),
        "deletion of external children disk snapshots not supported|deletion of .* snapshots? not supported",
    ),
}
CHECKPOINTS: Mapping[str, Row] = {
    "checkpoint of a VM that is off": (
        (ShutOff(),),
        _checkpoint("<name>ck</name>"),
        "cannot create checkpoint for inactive domain",
    ),
    "quiesced checkpoint": ((), _checkpoint("<name>ck</name>", "QUIESCE"), r"unsupported flags \(0x2\) in function"),
    "checkpoint of a name that is taken": (
        _CHECKED,
        _checkpoint("<name>ck1</name>"),
        "domain (moment|checkpoint) ck1 already exists",
    ),
    "checkpoint of a disk that is not there": (
        (),
        _checkpoint("<name>ck</name><disks><disk name='vdz'/></disks>"),
        "no disk named 'vdz'",
    ),
    "deletion of a checkpoint that is not there": (
        (),
        Ask("virDomainCheckpointDelete", {"name": "none"}),
        "no domain checkpoint with matching name 'none'",
    ),
    "undefinition of a VM that is off and has checkpoints": (
        (*_CHECKED, ShutOff()),
        Undefine(),
        "cannot delete inactive domain with 1 checkpoints",
    ),
    "redefinition of a checkpoint without a bitmap": (
        (),
        _checkpoint(f"<name>ck</name><creationTime>1</creationTime>{_BITMAP}", "REDEFINE", "REDEFINE_VALIDATE"),
        "missing or broken bitmap 'ck' for disk 'vda'",
    ),
}
BACKUPS: Mapping[str, Row] = {
    "second backup": (_ON, BeginBackup(), _LOCKED),
    "backup since a checkpoint that is not there": (
        (),
        _backup("", "pull", "none"),
        "Checkpoint 'none' for incremental backup of disk 'vda' not found|no domain checkpoint",
    ),
    "backup over an image that is there": (
        (CreateImage("full"),),
        _backup(f"<disks><disk name='vda' type='file'><target file='{_AT}full.qcow2'/></disk></disks>"),
        f"store '{_AT}full.qcow2' for backup of 'vda' exists|already exists",
    ),
    "backup of a disk that is not there": (
        (),
        _backup(f"<disks><disk name='vdz' type='file'><target file='{_AT}full.qcow2'/></disk></disks>"),
        "no disk named 'vdz'|disk 'vdz' not found",
    ),
    "backup of no disk": (
        (),
        _backup("<disks><disk name='vda' backup='no'/></disks>"),
        "no disks selected for backup",
    ),
    "backup to a server": (
        (),
        _backup(f"<disks>{_NBD}</disks>"),
        "XML document failed to validate against schema",
    ),
    "commit during a backup": (_ON, ActiveCommit("vda", "base"), "disk 'vda' already in active block job"),
    "pull during a backup": (_ON, Pull("vda"), "disk 'vda' already in active block job"),
    "snapshot during a backup": (_ON, Snapshot("vda", "late"), _LOCKED),
    "end of a backup that is not on": ((), EndBackup(), "no job is active on the domain"),
}
_JOB = (InternalSnapshot("in"), ActiveCommit("vda", "base"), AwaitReady("vda"))
_BUSY = "domain has active block job"


def _inside(body: str, *flags: str) -> Ask:
    return Ask("virDomainSnapshotCreateXML", {}, flags, f"<domainsnapshot><name>in</name>{body}</domainsnapshot>")


INSIDE: Mapping[str, Row] = {
    "internal snapshot of disks alone": (
        (),
        _inside("<disks><disk name='vda' snapshot='internal'/></disks>", "DISK_ONLY"),
        "active qemu domains require external disk snapshots; disk vda requested internal",
    ),
    "internal snapshot without the memory": (
        (),
        _inside("<memory snapshot='no'/>"),
        "internal snapshot of a running (VM|domain) must include the memory state",
    ),
    "internal snapshot with an external memory": (
        (),
        _inside(
            f"<memory snapshot='external' file='{_AT}memory'/><disks><disk name='vda' snapshot='internal'/></disks>"
        ),
        "mixing internal and external targets for a snapshot is not yet supported|must use snapshot mode|"
        "external memory snapshots require a file|internal snapshot",
    ),
    "internal snapshot, quiesced": ((), _inside("", "QUIESCE"), "QUIESCE|quiesce requires disk-only"),
    "internal snapshot, live": ((), _inside("", "LIVE"), "live snapshot creation is supported only (during|with)"),
    "internal snapshot during a job": (
        _JOB[1:],
        InternalSnapshot("in"),
        "already in active block job|has active block",
    ),
    "internal snapshot during a backup": (_ON, InternalSnapshot("in"), _LOCKED),
    "internal snapshot of a name that is taken": (
        (InternalSnapshot("in"),),
        InternalSnapshot("in"),
        "domain (moment|snapshot) in already exists",
    ),
    "revert during a job": (_JOB, RevertToSnapshot("in"), _BUSY),
    "revert to a snapshot that is not there": ((), RevertToSnapshot("none"), "no domain snapshot with matching name"),
    "revert, running and paused": (
        (InternalSnapshot("in"),),
        RevertToSnapshot("in", running=True, paused=True),
        "running and paused flags in .* are mutually exclusive|mutually exclusive",
    ),
}
_OFFERED = {
    "internal snapshot during a backup": "backup",
    **dict.fromkeys(CHECKPOINTS, "backup"),
    **dict.fromkeys(BACKUPS, "backup"),
    "deletion of an external snapshot and its children": "external-snapshot-delete",
}
REFUSALS = {**SNAPSHOTS, **CHECKPOINTS, **BACKUPS, **INSIDE}
_FULL = (
    "snapshot during a backup",  # libvirt waits for a lock, for half a minute
    "second backup",
    "internal snapshot during a backup",
    "snapshot of a disk that is not there",
    "snapshot of a disk twice",
    "deletion of a snapshot that is not there",
    "checkpoint of a disk that is not there",
    "deletion of a checkpoint that is not there",
    "backup of a disk that is not there",
    "backup to a server",
    "pull during a backup",
    "quiesced checkpoint",
    "internal snapshot, quiesced",
    "internal snapshot, live",
    "internal snapshot with an external memory",
    "internal snapshot of a name that is taken",
    "revert to a snapshot that is not there",
)
_MARKS = {case: [pytest.mark.needs(name)] for case, name in _OFFERED.items()}
ROWS = [
    pytest.param(case, marks=[*_MARKS.get(case, []), *([pytest.mark.full] if case in _FULL else [])])
    for case in REFUSALS
]


@pytest.mark.parametrize("case", ROWS)
def test_what_cannot_be_done_to_a_point_in_time_is_refused_and_changes_nothing(
    trial: Trial, layered: Vm, case: str
) -> None:
    """base <- sn1 <- sn2 <- cur (live), and what is done before   stays, and so does a backup that is on."""
    before, act, words = REFUSALS[case]
    trial.do(*before)

    with pytest.raises(Impossible):
        act.after(trial.state)
    trial.refused(act, words)

    if layered.state.backup:
        trial.verify_backup("after what was refused")
        trial.do(EndBackup())
    if layered.disk("vda").content.job is not None:
        trial.do(Pivot("vda"))
    assert layered.disk("vda").configured_chain() == layered.disk("vda").expected_chain()
