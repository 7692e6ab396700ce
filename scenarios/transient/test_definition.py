"""What was undefined while it ran stays undefined, whatever is done to its disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.chain import ActiveCommit, AwaitCompleted, AwaitReady, Commit, Copy, Pivot, Pull, Resize
from harness.acts.faults import StartDaemon, StopDaemon
from harness.acts.snapshot import Snapshot
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

STORIES: Mapping[str, Sequence[Act]] = {
    "nothing": (),
    "resize": (Resize("vda", 1 << 20),),
    "snapshot": (Snapshot("vda", "sn3"),),
    "commit": (Commit("vda", "sn2", "sn1"), AwaitCompleted("vda")),
    "active commit": (ActiveCommit("vda", "base"), AwaitReady("vda"), Pivot("vda")),
    "pull": (Pull("vda"), AwaitCompleted("vda")),
    "copy": (Copy("vda", "copy"), AwaitReady("vda"), Pivot("vda")),
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("restarted", [False, True], ids=["same libvirtd", "next libvirtd"])
def test_a_vm_that_was_undefined_stays_so(trial: Trial, layered: Vm, story: str, restarted: bool) -> None:
    """base <- sn1 <- sn2 <- cur (live, no definition)   stays   without a definition, on the chain of the row."""
    layered.undefine()
    trial.do(*STORIES[story])
    if restarted:
        trial.do(StopDaemon(), StartDaemon())

    trial.verify("without a definition")  # and a universal check asks libvirt, and looks for the file
