"""What is done, as data: five kinds of call, and one table of how libvirt's functions are spelt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.oracle.geometry import Range

Argument = str | int | None


@dataclass(frozen=True)
class Libvirt:
    """A function of libvirt's C API with its arguments by name and its flags without their common prefix.

    `vm` is the domain that it is called on. `xml` is the document among its arguments. `until` is the status of the
    disk's block-job event that ends it, "" if its return does.
    """

    function: str
    vm: str
    args: Mapping[str, Argument] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    xml: str = ""
    until: str = ""


@dataclass(frozen=True)
class Guest:
    """The guest of `vm` does something to a disk: `ranges` are bytes, `label` is that of the pattern it writes.

    With `flush`, the disk is flushed after it. `cell_size` is that of the disk, which patterns carry. A `script` is a
    shell's, and has no disk.
    """

    vm: str
    verb: Literal["write", "zero", "discard", "begin_write", "end_write", "flush", "run", "freeze"]
    disk: str = ""
    ranges: tuple[Range, ...] = ()
    label: str = ""
    flush: bool = True
    cell_size: int = 0
    script: str = ""


@dataclass(frozen=True)
class Host:
    """A command on the host, inside the stack; or a write of a pattern into an image that no VM uses (libguestfs).

    `made` is a file that the command makes for the command `then`, which is run next; it is removed afterwards.
    `serves` is a file that an NBD server serves from then on; `lets_go` is the name of one that it serves no longer.
    """

    command: tuple[str, ...]
    image: str = ""
    label: str = ""
    ranges: tuple[Range, ...] = ()
    cell_size: int = 0
    made: str = ""
    then: tuple[str, ...] = ()
    serves: str = ""
    lets_go: str = ""


@dataclass(frozen=True)
class Signal:
    """A signal to the daemon, or to the QEMU of a domain; "START" starts the daemon."""

    process: Literal["libvirtd", "qemu"]
    name: Literal["TERM", "KILL", "START", "UPGRADE"]
    vm: str = ""


@dataclass(frozen=True)
class Await:
    """Wait until the disk's job is `ready` or `completed`, or until the guest's writer has got on (`written`)."""

    vm: str
    status: Literal["ready", "completed", "written", "backed up"]
    disk: str = ""


Call = Libvirt | Guest | Host | Signal | Await


@dataclass(frozen=True)
class Face:
    """How one function on a domain is spelt: `method` of the Python binding's virDomain, and virsh's `verb`.

    `arguments` are in the binding's order, with the virsh option of each ("" for one without an option name); "xml" is
    the document, and one that a call does not name is None. `flags` are virsh's options for the flags, whose common
    prefix is `prefix`; `always` are options that virsh needs besides. `parameters` are typed parameters by the name
    that the call has for them: libvirt's name and virsh's options.
    """

    method: str
    arguments: tuple[tuple[str, str], ...]
    prefix: str
    verb: str
    flags: Mapping[str, str] = field(default_factory=dict)
    has_flags: bool = True
    always: tuple[str, ...] = ()
    parameters: Mapping[str, tuple[str, str]] = field(default_factory=dict)


_WHERE = {"LIVE": "--live", "CONFIG": "--config"}

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
    "virDomainCheckpointDelete": Face(
        "",
        (("name", ""),),
        "VIR_DOMAIN_CHECKPOINT_DELETE_",
        "checkpoint-delete",
        {"CHILDREN": "--children", "METADATA_ONLY": "--metadata", "CHILDREN_ONLY": "--children-only"},
    ),
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
