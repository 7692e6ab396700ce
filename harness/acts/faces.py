"""How libvirt's functions are spelt: one table of the binding's methods and virsh's commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.acts.calls import Call, Libvirt


@dataclass(frozen=True)
class Face:
    """How one function on a domain is spelt: `method` of the Python binding's virDomain, and virsh's `verb`.

    `arguments` are in the binding's order, with the virsh option of each ("" for one without an option name); "xml" is
    the document, and one that a call does not name is None. `flags` are virsh's options for the flags, whose common
    prefix is `prefix`; `always` are options that virsh needs besides. `parameters` are typed parameters by the name
    that the call has for them: libvirt's name and virsh's options. With `of`, it is a function on a checkpoint or a
    snapshot of the domain, whose name is among the arguments.
    """

    method: str
    arguments: tuple[tuple[str, str], ...]
    prefix: str
    verb: str
    flags: Mapping[str, str] = field(default_factory=dict)
    has_flags: bool = True
    always: tuple[str, ...] = ()
    parameters: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    of: Literal["", "checkpoint", "snapshot"] = ""


_WHERE = {"LIVE": "--live", "CONFIG": "--config"}

_DELETED = {"CHILDREN": "--children", "METADATA_ONLY": "--metadata", "CHILDREN_ONLY": "--children-only"}
_LISTED = {
    name: f"--{name.lower().replace('_', '-')}"
    for name in (
        *("ROOTS", "LEAVES", "NO_LEAVES", "DESCENDANTS", "TOPOLOGICAL", "METADATA", "NO_METADATA"),
        *("INACTIVE", "ACTIVE", "DISK_ONLY", "INTERNAL", "EXTERNAL"),
    )
}


def _of(
    kind: Literal["checkpoint", "snapshot"],
    method: str,
    verb: str,
    prefix: str = "",
    flags: Mapping[str, str] | None = None,
    *,
    has_flags: bool = True,
) -> Face:
    """A function on a checkpoint, or a snapshot, of this name."""
    return Face(method, (("name", ""),), prefix, verb, flags or {}, has_flags, of=kind)


API: Mapping[str, Face] = {
    "virDomainCreate": Face("create", (), "", "start", has_flags=False),
    "virDomainDestroyFlags": Face("destroyFlags", (), "VIR_DOMAIN_DESTROY_", "destroy", {"GRACEFUL": "--graceful"}),
    "virDomainAttachDeviceFlags": Face(
        "attachDeviceFlags", (("xml", ""),), "VIR_DOMAIN_AFFECT_", "attach-device", _WHERE
    ),
    "virDomainDetachDeviceFlags": Face(
        "detachDeviceFlags", (("xml", ""),), "VIR_DOMAIN_AFFECT_", "detach-device", _WHERE
    ),
    "virDomainSave": Face("save", (("file", ""),), "", "save", has_flags=False),
    "virDomainManagedSave": Face("managedSave", (), "", "managedsave"),
    "virDomainManagedSaveRemove": Face("managedSaveRemove", (), "", "managedsave-remove"),
    "virDomainUndefine": Face("undefine", (), "", "undefine", has_flags=False),
    "virDomainReset": Face("reset", (), "", "reset"),
    "virDomainSuspend": Face("suspend", (), "", "suspend", has_flags=False),
    "virDomainResume": Face("resume", (), "", "resume", has_flags=False),
    "virDomainSnapshotCreateXML": Face(
        "snapshotCreateXML",
        (("xml", "--xmlfile"),),
        "VIR_DOMAIN_SNAPSHOT_CREATE_",
        "snapshot-create",
        {
            "DISK_ONLY": "--disk-only",
            "ATOMIC": "--atomic",
            "NO_METADATA": "--no-metadata",
            "REUSE_EXT": "--reuse-external",
            "LIVE": "--live",
            "QUIESCE": "--quiesce",
            "HALT": "--halt",
            "REDEFINE": "--redefine",
            "CURRENT": "--current",
            "VALIDATE": "--validate",
        },
    ),
    "virDomainBlockCommit": Face(
        "blockCommit",
        (("disk", ""), ("base", "--base"), ("top", "--top"), ("bandwidth", "--bandwidth")),
        "VIR_DOMAIN_BLOCK_COMMIT_",
        "blockcommit",
        {
            "ACTIVE": "--active",
            "SHALLOW": "--shallow",
            "DELETE": "--delete",
            "RELATIVE": "--keep-relative",
            "BANDWIDTH_BYTES": "--bytes",
        },
    ),
    "virDomainBlockRebase": Face(
        "blockRebase",
        (("disk", ""), ("base", "--base"), ("bandwidth", "--bandwidth")),
        "VIR_DOMAIN_BLOCK_REBASE_",
        "blockpull",
        {"RELATIVE": "--keep-relative", "BANDWIDTH_BYTES": "--bytes"},
    ),
    "virDomainBlockPull": Face(
        "blockPull",
        (("disk", ""), ("bandwidth", "--bandwidth")),
        "VIR_DOMAIN_BLOCK_PULL_",
        "blockpull",
        {"BANDWIDTH_BYTES": "--bytes"},
    ),
    "virDomainBlockCopy": Face(
        "blockCopy",
        (("disk", ""), ("xml", "--xml"), ("params", "")),
        "VIR_DOMAIN_BLOCK_COPY_",
        "blockcopy",
        {
            "SHALLOW": "--shallow",
            "REUSE_EXT": "--reuse-external",
            "TRANSIENT_JOB": "--transient-job",
            "SYNCHRONOUS_WRITES": "--synchronous-writes",
        },
        parameters={
            "bandwidth": ("bandwidth", "--bytes --bandwidth"),
            "granularity": ("granularity", "--granularity"),
            "buffer": ("buf-size", "--buf-size"),
        },
    ),
    "virDomainBlockJobAbort": Face(
        "blockJobAbort",
        (("disk", ""),),
        "VIR_DOMAIN_BLOCK_JOB_ABORT_",
        "blockjob",
        {"PIVOT": "--pivot", "ASYNC": "--async"},
        always=("--abort",),
    ),
    "virDomainBlockJobSetSpeed": Face(
        "blockJobSetSpeed",
        (("disk", ""), ("bandwidth", "--bandwidth")),
        "VIR_DOMAIN_BLOCK_JOB_SPEED_",
        "blockjob",
        {"BANDWIDTH_BYTES": "--bytes"},
    ),
    "virDomainBlockResize": Face(
        "blockResize", (("disk", ""), ("size", "")), "VIR_DOMAIN_BLOCK_RESIZE_", "blockresize", {"BYTES": ""}
    ),
    "virDomainSetBlockIoTune": Face(
        "setBlockIoTune",
        (("disk", ""), ("params", "")),
        "VIR_DOMAIN_AFFECT_",
        "blkdeviotune",
        _WHERE,
        parameters={"iops": ("total_iops_sec", "--total-iops-sec")},
    ),
    "virDomainSetBlockThreshold": Face("setBlockThreshold", (("disk", ""), ("threshold", "")), "", "domblkthreshold"),
    "virDomainGetBlockJobInfo": Face(
        "blockJobInfo",
        (("disk", ""),),
        "VIR_DOMAIN_BLOCK_JOB_INFO_",
        "blockjob",
        {"BANDWIDTH_BYTES": "--bytes"},
        always=("--info",),
    ),
    "virDomainGetBlockInfo": Face("blockInfo", (("disk", ""),), "", "domblkinfo"),
    "virDomainBlockStats": Face("blockStats", (("disk", ""),), "", "domblkstat", has_flags=False),
    "virDomainBlockStatsFlags": Face("blockStatsFlags", (("disk", ""),), "", "domblkstat"),
    "virDomainBlockPeek": Face("blockPeek", (("disk", ""), ("offset", ""), ("size", "")), "", ""),
    "virDomainGetBlockIoTune": Face("blockIoTune", (("disk", ""),), "VIR_DOMAIN_AFFECT_", "blkdeviotune", _WHERE),
    "virDomainGetDiskErrors": Face("diskErrors", (), "", "domblkerror"),
    "virDomainBackupBegin": Face(
        "backupBegin",
        (("xml", "--backupxml"), ("checkpoint", "--checkpointxml")),
        "VIR_DOMAIN_BACKUP_BEGIN_",
        "backup-begin",
    ),
    "virDomainCheckpointCreateXML": Face(
        "checkpointCreateXML",
        (("xml", "--xmlfile"),),
        "VIR_DOMAIN_CHECKPOINT_CREATE_",
        "checkpoint-create",
        {"QUIESCE": "--quiesce", "REDEFINE": "--redefine", "REDEFINE_VALIDATE": "--redefine-validate"},
    ),
    "virDomainCheckpointDelete": _of(
        "checkpoint", "delete", "checkpoint-delete", "VIR_DOMAIN_CHECKPOINT_DELETE_", _DELETED
    ),
    "virDomainRevertToSnapshot": _of(
        "snapshot",
        "",
        "snapshot-revert",
        "VIR_DOMAIN_SNAPSHOT_REVERT_",
        {"RUNNING": "--running", "PAUSED": "--paused", "FORCE": "--force", "RESET_NVRAM": "--reset-nvram"},
    ),
    "virDomainSnapshotDelete": _of("snapshot", "delete", "snapshot-delete", "VIR_DOMAIN_SNAPSHOT_DELETE_", _DELETED),
    "virDomainCheckpointGetXMLDesc": _of(
        "checkpoint",
        "getXMLDesc",
        "checkpoint-dumpxml",
        "VIR_DOMAIN_CHECKPOINT_XML_",
        {"SIZE": "--size", "NO_DOMAIN": "--no-domain", "SECURE": "--security-info"},
    ),
    "virDomainCheckpointGetName": _of("checkpoint", "getName", "", has_flags=False),
    "virDomainCheckpointGetParent": _of("checkpoint", "getParent", "checkpoint-parent"),
    "virDomainCheckpointListAllChildren": _of(
        "checkpoint", "listAllChildren", "", "VIR_DOMAIN_CHECKPOINT_LIST_", _LISTED
    ),
    "virDomainCheckpointLookupByName": Face("checkpointLookupByName", (("name", ""),), "", "checkpoint-info"),
    "virDomainListAllCheckpoints": Face(
        "listAllCheckpoints", (), "VIR_DOMAIN_CHECKPOINT_LIST_", "checkpoint-list", _LISTED
    ),
    "virDomainListAllSnapshots": Face("listAllSnapshots", (), "VIR_DOMAIN_SNAPSHOT_LIST_", "snapshot-list", _LISTED),
    "virDomainSnapshotListNames": Face("snapshotListNames", (), "VIR_DOMAIN_SNAPSHOT_LIST_", "", _LISTED),
    "virDomainSnapshotNum": Face("snapshotNum", (), "VIR_DOMAIN_SNAPSHOT_LIST_", "", _LISTED),
    "virDomainSnapshotNumChildren": _of("snapshot", "numChildren", "", "VIR_DOMAIN_SNAPSHOT_LIST_", _LISTED),
    "virDomainSnapshotLookupByName": Face("snapshotLookupByName", (("name", ""),), "", "snapshot-info"),
    "virDomainSnapshotCurrent": Face("snapshotCurrent", (), "", "snapshot-current"),
    "virDomainHasCurrentSnapshot": Face("hasCurrentSnapshot", (), "", ""),
    "virDomainSnapshotGetXMLDesc": _of(
        "snapshot", "getXMLDesc", "snapshot-dumpxml", "VIR_DOMAIN_SNAPSHOT_XML_", {"SECURE": "--security-info"}
    ),
    "virDomainSnapshotGetName": _of("snapshot", "getName", "", has_flags=False),
    "virDomainSnapshotGetParent": _of("snapshot", "getParent", "snapshot-parent"),
    "virDomainSnapshotHasMetadata": _of("snapshot", "hasMetadata", ""),
    "virDomainSnapshotIsCurrent": _of("snapshot", "isCurrent", ""),
    "virDomainSnapshotListAllChildren": _of("snapshot", "listAllChildren", "", "VIR_DOMAIN_SNAPSHOT_LIST_", _LISTED),
    "virDomainSnapshotListChildrenNames": _of(
        "snapshot", "listChildrenNames", "", "VIR_DOMAIN_SNAPSHOT_LIST_", _LISTED
    ),
    "virDomainBackupGetXMLDesc": Face("backupGetXMLDesc", (), "", "backup-dumpxml"),
    "virDomainAbortJob": Face("abortJob", (), "", "domjobabort", has_flags=False),
}
"""libvirt's function to its spellings; what needs more than one call (define, restore, delete) is the hand's."""

_COPYING = Face(
    "blockRebase",
    (("disk", ""), ("base", "--dest"), ("bandwidth", "--bandwidth")),
    "VIR_DOMAIN_BLOCK_REBASE_",
    "blockcopy",
    {
        "COPY": "",
        "COPY_RAW": "--raw",
        "COPY_DEV": "--blockdev",
        "SHALLOW": "--shallow",
        "REUSE_EXT": "--reuse-external",
        "BANDWIDTH_BYTES": "--bytes",
    },
)


def face_of(call: Libvirt) -> Face:
    """How a call is spelt: virsh has another verb for a virDomainBlockRebase that copies."""
    return _COPYING if "COPY" in call.flags and call.function == "virDomainBlockRebase" else API[call.function]


def features(call: Call) -> tuple[str, ...]:
    """What of libvirt's API a call uses: its function, and "FUNCTION FLAG" for each flag and typed parameter."""
    if not isinstance(call, Libvirt):
        return ()
    named = API[call.function].parameters if call.function in API else {}
    parameters = [name for key, (name, _) in named.items() if call.args.get(key)]
    flags = [flag for flag in call.flags if not flag.isdigit()]
    return (call.function, *(f"{call.function} {each}" for each in (*flags, *parameters)))
