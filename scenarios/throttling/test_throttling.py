"""A disk that is throttled stays so, whatever becomes of its chain: live, in the definition, and at the next start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.chain import ActiveCommit, AwaitCompleted, AwaitReady, Commit, Copy, Pivot, Pull, Resize
from harness.acts.snapshot import Snapshot
from harness.trial.nouns import Disk, Vm
from harness.trial.trial import Trial

IOPS = 5000
STORIES: Mapping[str, Sequence[Act]] = {
    "snapshot": (Snapshot("vda", "sn3"),),
    "commit": (Commit("vda", "sn2", "sn1"), AwaitCompleted("vda")),
    "active commit": (ActiveCommit("vda", "base"), AwaitReady("vda"), Pivot("vda")),
    "pull": (Pull("vda"), AwaitCompleted("vda")),
    "copy": (Copy("vda", "copy"), AwaitReady("vda"), Pivot("vda")),
    "resize": (Resize("vda", 1 << 20),),
}


@pytest.mark.parametrize(
    "story", [pytest.param(each, marks=[pytest.mark.full] * (number > 1)) for number, each in enumerate(STORIES)]
)
def test_a_throttled_disk_stays_throttled(trial: Trial, layered: Vm, story: str) -> None:
    """base <- sn1 <- sn2 <- cur (live, throttled)   becomes   the chain of the row, throttled, also when started."""
    vda = layered.disk("vda")
    vda.throttle(IOPS)

    trial.do(*STORIES[story])
    vda.write("E", (0, 10))
    trial.verify("done")
    assert [_limit(vda, where) for where in ("LIVE", "CONFIG")] == [IOPS, IOPS]
    layered.shut_off()
    layered.start()

    trial.verify("started")
    assert _limit(vda, "LIVE") == IOPS


def _limit(disk: Disk, where: str) -> object:
    answer = disk.ask("virDomainGetBlockIoTune", where)
    assert isinstance(answer, dict)
    return answer["total_iops_sec"]
