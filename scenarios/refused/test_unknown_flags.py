"""A flag that libvirt does not know is refused by the functions about disks, and nothing changes."""

from __future__ import annotations

from collections.abc import Mapping

from harness.acts.asked import Ask
from harness.acts.calls import Argument
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

_UNKNOWN = str(1 << 30)
_COPY = "<disk type='file'><source file='/export/images/copy.qcow2'/><driver type='qcow2'/></disk>"
_VDA: Mapping[str, Argument] = {"disk": "vda"}
FUNCTIONS: Mapping[str, tuple[Mapping[str, Argument], str]] = {
    "virDomainBlockCommit": ({**_VDA, "base": None, "top": None, "bandwidth": 0}, ""),
    "virDomainBlockPull": ({**_VDA, "bandwidth": 0}, ""),
    "virDomainBlockRebase": ({**_VDA, "base": None, "bandwidth": 0}, ""),
    "virDomainBlockCopy": (_VDA, _COPY),
    "virDomainBlockJobAbort": (_VDA, ""),
    "virDomainBlockJobSetSpeed": ({**_VDA, "bandwidth": 1}, ""),
    "virDomainGetBlockJobInfo": (_VDA, ""),
    "virDomainBlockResize": ({**_VDA, "size": 1 << 20}, ""),
    "virDomainSetBlockThreshold": ({**_VDA, "threshold": 1}, ""),
    "virDomainSetBlockIoTune": ({**_VDA, "iops": 5000}, ""),
    "virDomainGetBlockIoTune": (_VDA, ""),
    "virDomainGetBlockInfo": (_VDA, ""),
    "virDomainBlockStatsFlags": (_VDA, ""),
    "virDomainBlockPeek": ({**_VDA, "offset": 0, "size": 512}, ""),
    "virDomainAttachDeviceFlags": (_VDA, ""),
    "virDomainDetachDeviceFlags": (_VDA, ""),
    "virDomainSnapshotCreateXML": ({}, "<domainsnapshot/>"),
    "virDomainDestroyFlags": ({}, ""),
    "virDomainReset": ({}, ""),
    "virDomainManagedSave": ({}, ""),
    "virDomainManagedSaveRemove": ({}, ""),
    "virDomainBackupBegin": ({"checkpoint": None}, "<domainbackup/>"),
}
"""virDomainGetDiskErrors is not among them: the binding hands its flags to nobody."""


def test_an_unknown_flag_is_refused_by_every_function_about_disks(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays   base <- sn1 <- sn2 <- cur (live)."""
    for function, (args, xml) in FUNCTIONS.items():
        trial.refused(Ask(function, args, (_UNKNOWN,), xml), r"(^|: )unsupported flags \(0x40000000\) in function \w+$")

    assert layered.disk("vda").chain() == layered.disk("vda").expected_chain()
