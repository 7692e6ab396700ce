"""What libvirt must refuse of block jobs: it says why in these words, and nothing changes.

A row is what is done before, what is refused, and the words: those of 9.0.0 and later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.asked import Ask
from harness.acts.backup import BeginBackup
from harness.acts.calls import Argument
from harness.acts.chain import Abort, ActiveCommit, AwaitReady, Commit, Copy, Pivot, Pull, Resize, SetSpeed
from harness.acts.device import Detach
from harness.acts.images import CreateImage
from harness.acts.power import Reset, Resume, ShutOff, Start, Suspend, Undefine
from harness.acts.saving import Save
from harness.acts.snapshot import Snapshot
from harness.oracle.content import Impossible
from harness.oracle.state import DIRECTORY
from harness.stack.stack import Stack
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

_GRANULARITY = (
    "internal error: unable to execute QEMU command 'blockdev-mirror': Parameter 'granularity' expects a value in range"
    " [512B, 64MB]"
)
_RESIZE = "internal error: unable to execute QEMU command 'block_resize': {}"
_TOO_MUCH = 1 << 43  # MiB a second: one more than fits into bytes
_ALONE = (ActiveCommit("vda", "base"), AwaitReady("vda"), Pivot("vda"))
_READY = (ActiveCommit("vda", "base"), AwaitReady("vda"))
_SLOW = (ActiveCommit("vda", "base", 65536, in_bytes=True),)
_PULLED = (Pull("vda", bandwidth=65536, in_bytes=True),)
_ENDS: Mapping[Sequence[Act], Sequence[Act]] = {
    _READY: (Pivot("vda"),),
    _SLOW: (SetSpeed("vda", 0), AwaitReady("vda"), Pivot("vda")),
    _PULLED: (Abort("vda"),),
}
"""How a job that is on before is ended."""


def _at(name: str) -> str:
    return str(DIRECTORY / f"{name}.qcow2")


def _commit(*flags: str, disk: str = "vda", base: str | None = None, top: str | None = None, bandwidth: int = 0) -> Ask:
    args: dict[str, Argument] = {"disk": disk, "base": base, "top": top, "bandwidth": bandwidth}
    return Ask("virDomainBlockCommit", args, flags)


def _rebase(*flags: str, disk: str = "vda", base: str | None = None, bandwidth: int = 0) -> Ask:
    return Ask("virDomainBlockRebase", {"disk": disk, "base": base, "bandwidth": bandwidth}, flags)


def _pull(*flags: str, disk: str = "vda", bandwidth: int = 0) -> Ask:
    return Ask("virDomainBlockPull", {"disk": disk, "bandwidth": bandwidth}, flags)


def _copy(*flags: str, disk: str = "vda", dest: str = _at("copy"), driver: str = "qcow2", kind: str = "file") -> Ask:
    source = {"file": "file", "block": "dev"}[kind]
    xml = f"<disk type='{kind}'><source {source}='{dest}'/><driver type='{driver}'/></disk>"
    return Ask("virDomainBlockCopy", {"disk": disk}, ("TRANSIENT_JOB", *flags), xml)


def _abort(*flags: str, disk: str = "vda") -> Ask:
    return Ask("virDomainBlockJobAbort", {"disk": disk}, flags)


def _resize(*flags: str, disk: str = "vda", size: int = 1 << 20) -> Ask:
    return Ask("virDomainBlockResize", {"disk": disk, "size": size}, flags)


def _speed(*flags: str, disk: str = "vda", bandwidth: int = 1) -> Ask:
    return Ask("virDomainBlockJobSetSpeed", {"disk": disk, "bandwidth": bandwidth}, flags)


Row = tuple[Sequence[Act], Act, str]

COMMIT: Mapping[str, Row] = {
    "commit of the active layer without ACTIVE": (
        (),
        _commit(),
        "invalid argument: commit of 'vda' active layer requires active flag",
    ),
    "ACTIVE and a top that is not active": (
        (),
        _commit("ACTIVE", top=_at("sn2")),
        f"invalid argument: active commit requested but '{_at('sn2')}' is not active",
    ),
    "commit of the active layer": (
        (),
        Commit("vda", top="cur", base="sn1"),
        "invalid argument: commit of 'vda' active layer requires active flag",
    ),
    "top and base are the same": (
        (),
        _commit(top=_at("sn1"), base=_at("sn1")),
        f"invalid argument: could not find image '{_at('sn1')}' beneath '{_at('sn1')}' in chain for 'vda'",
    ),
    "commit upwards": (
        (),
        Commit("vda", top="sn1", base="sn2"),
        f"invalid argument: could not find image '{_at('sn2')}' beneath '{_at('sn1')}' in chain for 'vda'",
    ),
    "top is in no chain": (
        (),
        _commit(top=_at("nosuch")),
        f"invalid argument: could not find image '{_at('nosuch')}' in chain for 'vda'",
    ),
    "base is in no chain": (
        (),
        _commit("ACTIVE", base=_at("nosuch")),
        f"invalid argument: could not find image '{_at('nosuch')}' beneath '{_at('cur')}' in chain for 'vda'",
    ),
    "top is the base": ((), _commit(top=_at("base")), "invalid argument: could not find base image in chain for 'vda'"),
    "top by an index that is not there": (
        (),
        _commit(top="vda[99]"),
        "invalid argument: could not find backing store index '99' in chain for 'vda'",
    ),
    "top by another disk's index": (
        (),
        _commit(top="vdb[2]"),
        "invalid argument: requested target 'vdb' does not match target 'vda'",
    ),
    "shallow, and a base that is not just below": (
        (),
        _commit("SHALLOW", top=_at("sn2"), base=_at("base")),
        f"invalid argument: base '{_at('base')}' is not immediately below '{_at('sn2')}' in chain for '{_at('cur')}'",
    ),
    "commit of a disk that is not there": (
        (),
        _commit("ACTIVE", disk="vdz"),
        "invalid argument: disk 'vdz' not found in domain",
    ),
    "commit with a bandwidth that is too much": (
        (),
        _commit("ACTIVE", bandwidth=_TOO_MUCH),
        "numerical overflow: bandwidth must be less than 8796093022207",
    ),
    "base by an index that is not there": (
        (),
        _commit("ACTIVE", base="vda[99]"),
        "invalid argument: could not find backing store index '99' in chain for 'vda'",
    ),
    "relative, and names that are absolute": (
        (),
        _commit("RELATIVE", top=_at("sn2"), base=_at("sn1")),
        "Requested operation is not valid: can't keep relative backing relationship",
    ),
    "commit of the only image": (
        _ALONE,
        _commit("ACTIVE"),
        "invalid argument: could not find base image in chain for 'vda'",
    ),
    "second job": (
        _READY,
        ActiveCommit("vda", "sn1"),
        "block copy still active: disk 'vda' already in active block job",
    ),
}

PULL: Mapping[str, Row] = {
    "pull onto an image that is in no chain": (
        (),
        _rebase(base=_at("nosuch")),
        f"invalid argument: could not find image '{_at('nosuch')}' beneath '{_at('cur')}' in chain for 'vda'",
    ),
    "relative without a base": (
        (),
        _rebase("RELATIVE"),
        "invalid argument: flag VIR_DOMAIN_BLOCK_REBASE_RELATIVE is valid only with non-null base",
    ),
    "relative, and a base that is named absolutely": (
        (),
        _rebase("RELATIVE", base=_at("base")),
        "Requested operation is not valid: can't keep relative backing relationship",
    ),
    "pull onto an index that is not there": (
        (),
        _rebase(base="vda[99]"),
        "invalid argument: could not find backing store index '99' in chain for 'vda'",
    ),
    "rebase with a bandwidth that is too much": (
        (),
        _rebase(base=_at("base"), bandwidth=_TOO_MUCH),
        "numerical overflow: bandwidth must be less than 8796093022207",
    ),
    "pull of a disk that is not there": (
        (),
        _pull(disk="vdz"),
        "invalid argument: disk 'vdz' not found in domain",
    ),
    "pull with a bandwidth that is too much": (
        (),
        _pull(bandwidth=_TOO_MUCH),
        "numerical overflow: bandwidth must be less than 8796093022207",
    ),
    "pull during a commit": (
        _READY,
        Pull("vda", "sn1"),
        "block copy still active: disk 'vda' already in active block job",
    ),
}

COPY: Mapping[str, Row] = {
    "copy of a persistent VM by virDomainBlockRebase": (
        (),
        Copy("vda", "copy", by_rebase=True),
        "Requested operation is not valid: domain is not transient",
    ),
    "copy to a relative path": (
        (),
        _copy(dest="copy.qcow2"),
        "invalid argument: absolute path must be used as block copy target",
    ),
    "copy to an image that is not there": (
        (),
        _copy("REUSE_EXT"),
        f"missing destination file for disk vda: {_at('copy')}: No such file or directory",
    ),
    "copy over an image that is there": (
        (CreateImage("copy"),),
        Copy("vda", "copy"),
        "unsupported configuration: external destination file for disk vda already exists and is not a block device: "
        f"{_at('copy')}",
    ),
    "relative copy": (
        (),
        _rebase("COPY", "RELATIVE", base=_at("copy")),
        "argument unsupported: Relative backing during copy not supported yet",
    ),
    "copy by virDomainBlockRebase with a bandwidth that is too much": (
        (),
        _rebase("COPY", base=_at("copy"), bandwidth=_TOO_MUCH),
        "numerical overflow: bandwidth must be less than 8796093022207",
    ),
    "copy onto the image that is copied": (
        (),
        _copy("REUSE_EXT", dest=_at("cur")),
        "internal error: unable to execute QEMU command 'blockdev-add': Failed to get \"write\" lock",
    ),
    "copy onto a layer of the chain": (
        (),
        _copy("REUSE_EXT", dest=_at("sn1")),
        "internal error: unable to execute QEMU command 'blockdev-add': Failed to get \"write\" lock",
    ),
    "shallow copy to raw": (
        (),
        _copy("SHALLOW", driver="raw"),
        "unsupported configuration: shallow copy of disk 'vda' into a raw file is not possible",
    ),
    "copy in a format that is none": (
        (),
        _copy(driver="fda"),
        "unsupported configuration: unknown driver format value 'fda'",
    ),
    "copy to a block device that is a file": (
        (CreateImage("copy"),),
        _copy("REUSE_EXT", kind="block"),
        f"invalid argument: blockdev flag requested for disk vda, but file '{_at('copy')}' is not a block device",
    ),
    "copy of a disk that is not there": (
        (),
        _copy(disk="vdz"),
        "invalid argument: disk 'vdz' not found in domain",
    ),
    "granularity that is no power of two": (
        (),
        Ask("virDomainBlockCopy", {"disk": "vda", "granularity": 1234}, ("TRANSIENT_JOB",), _copy().xml),
        "invalid argument: granularity must be power of 2",
    ),
    "granularity that is too small": (
        (),
        Ask("virDomainBlockCopy", {"disk": "vda", "granularity": 4}, ("TRANSIENT_JOB",), _copy().xml),
        _GRANULARITY,
    ),
    "granularity that is too large": (
        (),
        Ask("virDomainBlockCopy", {"disk": "vda", "granularity": 1 << 27}, ("TRANSIENT_JOB",), _copy().xml),
        _GRANULARITY,
    ),
    "copy without a source in its XML": (
        (),
        Ask("virDomainBlockCopy", {"disk": "vda"}, ("TRANSIENT_JOB",), "<disk type='file'/>"),
        "missing source information for device",
    ),
    "copy during a commit": (
        _READY,
        Copy("vda", "copy"),
        "block copy still active: disk 'vda' already in active block job",
    ),
}

CONTROL: Mapping[str, Row] = {
    "pivot without a job": ((), Pivot("vda"), "invalid argument: disk vda does not have an active block job"),
    "abort without a job": ((), Abort("vda"), "invalid argument: disk vda does not have an active block job"),
    "speed that is too much": (
        _READY,
        _speed(bandwidth=_TOO_MUCH),
        "numerical overflow: bandwidth must be less than 8796093022207",
    ),
    "pivot of a commit that is not ready": (
        _SLOW,
        _abort("PIVOT"),
        "block copy still active: block job 'commit-vda-libvirt-4-format' not ready for pivot yet",
    ),
    "pivot of a pull": (
        _PULLED,
        _abort("PIVOT"),
        "block copy still active: block job 'pull-vda-libvirt-4-format' not ready for pivot yet",
    ),
    "unknown top during a commit": (
        _READY,
        _commit(top=_at("nosuch")),
        f"invalid argument: could not find image '{_at('nosuch')}' in chain for 'vda'",
    ),
    "resize during a commit": (
        _READY,
        Resize("vda", 2 << 20),
        _RESIZE.format("Node 'libvirt-4-format' is busy: block device is in use by block job: commit"),
    ),
    "save during a commit": (
        _READY,
        Save("/export/saved"),
        "Requested operation is not valid: domain has active block job",
    ),
    "managed save during a commit": (_READY, Save(), "Requested operation is not valid: domain has active block job"),
    "detachment during a commit": (
        _READY,
        Detach("vda"),
        "block copy still active: disk 'vda' already in active block job",
    ),
    "internal snapshot during a commit": (
        _READY,
        Ask("virDomainSnapshotCreateXML", {}, (), "<domainsnapshot/>"),
        "block copy still active: disk 'vda' already in active block job",
    ),
    "backup during a commit": (_READY, BeginBackup(), "internal error: disk 'vda' has a blockjob assigned"),
    "threshold of a disk that is not there": (
        (),
        Ask("virDomainSetBlockThreshold", {"disk": "vdz", "threshold": 1}),
        "invalid argument: failed to find disk 'vdz'",
    ),
    "threshold of an index that is not there": (
        (),
        Ask("virDomainSetBlockThreshold", {"disk": "vda[99]", "threshold": 1}),
        "invalid argument: failed to find disk 'vda[99]'",
    ),
    "limits of a disk that is not there": (
        (),
        Ask("virDomainSetBlockIoTune", {"disk": "vdz", "iops": 1}, ("LIVE",)),
        "invalid argument: disk 'vdz' not found in domain",
    ),
    "statistics of a disk that is not there": (
        (),
        Ask("virDomainBlockStatsFlags", {"disk": "vdz"}),
        "invalid argument: invalid path: vdz",
    ),
    "size of a disk that is not there": (
        (),
        Ask("virDomainGetBlockInfo", {"disk": "vdz"}),
        "invalid argument: invalid path vdz not assigned to domain",
    ),
    "state of a job of a disk that is not there": (
        (),
        Ask("virDomainGetBlockJobInfo", {"disk": "vdz"}),
        "invalid argument: disk 'vdz' not found in domain",
    ),
    "attachment of a disk that is there": (
        (),
        Ask("virDomainAttachDeviceFlags", {"disk": "vda"}, ("LIVE",)),
        f"XML error: target 'vda' duplicated for disk sources '{_at('cur')}' and '{_at('cur')}'",
    ),
    "start of a VM that runs": ((), Start(), "Requested operation is not valid: domain is already running"),
    "resume of a VM that runs": ((), Resume(), "Requested operation is not valid: domain is already running"),
    "speed without a job": ((), SetSpeed("vda", 1), "invalid argument: disk vda does not have an active block job"),
    "abort of a disk that is not there": (
        (),
        _abort(disk="vdz"),
        "invalid argument: disk 'vdz' not found in domain",
    ),
    "resize of a disk that is not there": (
        (),
        _resize(disk="vdz"),
        "invalid argument: disk 'vdz' was not found in the domain config",
    ),
    "snapshot during a job": (
        _READY,
        Snapshot("vda", "late"),
        "block copy still active: disk 'vda' already in active block job",
    ),
}

_NOT_RUNNING: Mapping[str, Act] = {
    "commit": _commit("ACTIVE"),
    "pull": _pull(),
    "copy": Copy("vda", "copy"),
    "abort": _abort(),
    "speed": _speed(),
    "resize": Resize("vda", 2 << 20),
    "threshold": Ask("virDomainSetBlockThreshold", {"disk": "vda", "threshold": 1}),
    "statistics": Ask("virDomainBlockStatsFlags", {"disk": "vda"}),
    "state of a job": Ask("virDomainGetBlockJobInfo", {"disk": "vda"}),
    "save": Save("/export/saved"),
    "managed save": Save(),
    "suspension": Suspend(),
    "resume": Resume(),
    "reset": Reset(),
}
OFF: Mapping[str, Row] = {
    **{
        f"{what} of a VM that is off": ((ShutOff(),), act, "Requested operation is not valid: domain is not running")
        for what, act in _NOT_RUNNING.items()
    },
    "backup of a VM that is off": (
        (ShutOff(),),
        BeginBackup(),
        "Operation not supported: cannot perform disk backup for inactive domain",
    ),
    "undefinition of a VM that is off and has snapshots": (
        (Snapshot("vda", "late", name="late"), ShutOff()),
        Undefine(),
        "Requested operation is not valid: cannot delete inactive domain with 1 snapshots",
    ),
    "undefinition of a VM that is saved": (
        (Save(),),
        Undefine(),
        "Requested operation is not valid: Refusing to undefine while domain managed save image exists",
    ),
}
REFUSALS = {**COMMIT, **PULL, **COPY, **CONTROL, **OFF}

_NAMED_BY_FILE = (
    "top and base are the same",
    "commit upwards",
    "top is in no chain",
    "base is in no chain",
    "pull onto an image that is in no chain",
)
_NAMED_BY_INDEX = (
    "top by an index that is not there",
    "base by an index that is not there",
    "pull onto an index that is not there",
)
OF_7_0: Mapping[str, str] = {
    **{case: REFUSALS[case][2].replace("chain for 'vda'", f"chain for '{_at('cur')}'") for case in _NAMED_BY_FILE},
    **{
        case: f"invalid argument: could not find backing store index 99 in chain for '{_at('cur')}'"
        for case in _NAMED_BY_INDEX
    },
    "commit of the only image": f"invalid argument: top '{_at('base')}' in chain for 'vda' has no backing file",
    "unknown top during a commit": "block copy still active: disk 'vda' already in active block job",
    "top is the base": f"invalid argument: top '{_at('base')}' in chain for 'vda' has no backing file",
    "shallow, and a base that is not just below": f"invalid argument: base '{_at('base')}' is not immediately below "
    f"'{_at('sn2')}' in chain for 'vda'",
}
"""What 7.0.0 says instead; 9.0.0 says what later ones do, and what is between them was not tried."""


OF_QEMU_7_2: Mapping[str, str] = {"resize during a commit": _RESIZE.format("Device '(null)' is in use")}
"""What libvirt passes on of QEMU 5.2 and 7.2; 10.0 and later say what is above, and between them nobody looked."""


def _words(case: str, stack: Stack) -> str:
    words = REFUSALS[case][2]
    if not stack.qemu_version.is_at_least("10.0.0"):
        words = OF_QEMU_7_2.get(case, words)
    return words if stack.libvirt_version.is_at_least("9.0.0") else OF_7_0.get(case, words)


NEEDS = {
    "backup during a commit": "backup",
    "backup of a VM that is off": "backup",
    "pivot of a pull": "copy-on-read-filter",
}
_SAID = [words for _, _, words in REFUSALS.values()]
ROWS = [
    pytest.param(
        case,
        marks=[
            *([pytest.mark.needs(NEEDS[case])] if case in NEEDS else []),
            *([pytest.mark.full] if words in _SAID[:number] else []),  # a row before it is refused in the same words
        ],
    )
    for number, (case, (_, _, words)) in enumerate(REFUSALS.items())
]


@pytest.mark.parametrize("case", ROWS)
def test_what_cannot_be_done_is_refused_and_changes_nothing(trial: Trial, layered: Vm, case: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays   base <- sn1 <- sn2 <- cur (live), and a job that is on goes on."""
    vda = layered.disk("vda")
    before, act, _ = REFUSALS[case]
    trial.do(*before)

    with pytest.raises(Impossible):
        act.after(trial.state)
    trial.refused(act, rf"(^|: ){re.escape(_words(case, trial.daemon.stack))}(\n|$)")

    trial.do(*_ENDS.get(before, ()))
    if layered.state.is_on:
        assert vda.chain() == vda.expected_chain()
    assert vda.configured_chain() == vda.expected_chain()
