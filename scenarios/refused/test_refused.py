"""What libvirt must refuse of block jobs: it says why in these words, and nothing changes.

A row is what is done before, what is refused, and the words: those of 9.0.0 and later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.asked import Ask
from harness.acts.calls import Argument
from harness.acts.chain import Abort, ActiveCommit, AwaitReady, Commit, Copy, Pivot, Pull, Resize, SetSpeed, Snapshot
from harness.acts.images import CreateImage
from harness.acts.power import ShutOff
from harness.oracle.content import Impossible
from harness.oracle.state import DIRECTORY
from harness.stack.version import Version
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

_UNKNOWN_BIT = str(1 << 30)
_TOO_MUCH = 1 << 43  # MiB a second: one more than fits into bytes
_READY = (ActiveCommit("vda", "base"), AwaitReady("vda"))


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
    "commit with an unknown flag": (
        (),
        _commit(_UNKNOWN_BIT),
        "unsupported flags (0x40000000) in function qemuDomainBlockCommit",
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
    "pull with an unknown flag": (
        (),
        _pull(_UNKNOWN_BIT),
        "unsupported flags (0x40000000) in function qemuDomainBlockPull",
    ),
    "rebase with an unknown flag": (
        (),
        _rebase(_UNKNOWN_BIT),
        "unsupported flags (0x40000000) in function qemuDomainBlockRebase",
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
    "copy with an unknown flag": (
        (),
        _copy(_UNKNOWN_BIT),
        "unsupported flags (0x40000000) in function qemuDomainBlockCopy",
    ),
    "granularity that is no power of two": (
        (),
        Ask("virDomainBlockCopy", {"disk": "vda", "granularity": 1234}, ("TRANSIENT_JOB",), _copy().xml),
        "invalid argument: granularity must be power of 2",
    ),
    "granularity that is too small": (
        (),
        Ask("virDomainBlockCopy", {"disk": "vda", "granularity": 4}, ("TRANSIENT_JOB",), _copy().xml),
        "internal error: unable to execute QEMU command 'blockdev-mirror': Parameter 'granularity' expects a value in "
        "range [512B, 64MB]",
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
    "speed without a job": ((), SetSpeed("vda", 1), "invalid argument: disk vda does not have an active block job"),
    "abort of a disk that is not there": (
        (),
        _abort(disk="vdz"),
        "invalid argument: disk 'vdz' not found in domain",
    ),
    "abort with an unknown flag": (
        (),
        _abort(_UNKNOWN_BIT),
        "unsupported flags (0x40000000) in function qemuDomainBlockJobAbort",
    ),
    "speed with an unknown flag": (
        (),
        _speed(_UNKNOWN_BIT),
        "unsupported flags (0x40000000) in function qemuDomainBlockJobSetSpeed",
    ),
    "resize with an unknown flag": (
        (),
        _resize(_UNKNOWN_BIT),
        "unsupported flags (0x40000000) in function qemuDomainBlockResize",
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

OFF: Mapping[str, Row] = {
    "commit of a VM that is off": (
        (ShutOff(),),
        _commit("ACTIVE"),
        "Requested operation is not valid: domain is not running",
    ),
    "pull of a VM that is off": ((ShutOff(),), _pull(), "Requested operation is not valid: domain is not running"),
    "copy of a VM that is off": (
        (ShutOff(),),
        Copy("vda", "copy"),
        "Requested operation is not valid: domain is not running",
    ),
    "abort of a VM that is off": ((ShutOff(),), _abort(), "Requested operation is not valid: domain is not running"),
    "speed of a VM that is off": ((ShutOff(),), _speed(), "Requested operation is not valid: domain is not running"),
    "resize of a VM that is off": (
        (ShutOff(),),
        Resize("vda", 2 << 20),
        "Requested operation is not valid: domain is not running",
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
OF_7_0: Mapping[str, str] = {
    **{case: REFUSALS[case][2].replace("chain for 'vda'", f"chain for '{_at('cur')}'") for case in _NAMED_BY_FILE},
    "top is the base": f"invalid argument: top '{_at('base')}' in chain for 'vda' has no backing file",
    "top by an index that is not there": "invalid argument: could not find backing store index 99 in chain for "
    f"'{_at('cur')}'",
    "shallow, and a base that is not just below": f"invalid argument: base '{_at('base')}' is not immediately below "
    f"'{_at('sn2')}' in chain for 'vda'",
}
"""What 7.0.0 says instead; 9.0.0 says what later ones do, and what is between them was not tried."""


def _words(case: str, version: Version) -> str:
    words = REFUSALS[case][2]
    return words if version.is_at_least("9.0.0") else OF_7_0.get(case, words)


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_done_is_refused_and_changes_nothing(trial: Trial, layered: Vm, case: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays   base <- sn1 <- sn2 <- cur (live)."""
    vda = layered.disk("vda")
    before, act, _ = REFUSALS[case]
    trial.do(*before)

    with pytest.raises(Impossible):
        act.after(trial.state)
    trial.refused(act, f"(^|: ){re.escape(_words(case, trial.daemon.stack.libvirt_version))}$")

    if before == _READY:
        trial.do(Abort("vda"))
    if layered.state.is_on:
        assert vda.chain() == vda.expected_chain()
    assert vda.configured_chain() == vda.expected_chain()
