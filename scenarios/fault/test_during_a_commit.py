"""QEMU dies in the middle of an active commit: nothing that was flushed is lost, and the commit can be done again."""

from __future__ import annotations

import pytest

from harness.acts.act import Act
from harness.acts.chain import Abort, AwaitReady
from harness.acts.faults import KillQemu
from harness.acts.guest import Write
from harness.oracle.chain import Chain
from harness.oracle.documented import LAYERS
from harness.oracle.geometry import Geometry
from harness.trial.trial import Trial

LARGE = Geometry(cells=64)
ENDS: dict[str, tuple[Act, ...]] = {
    "killed in phase one": (Write("vda", "E", (1, 50)), KillQemu()),
    "killed at READY": (AwaitReady("vda"), Write("vda", "E", (1, 50)), KillQemu()),
    "killed with unflushed writes": (Write("vda", "E", (1, 50)), Write("vda", "F", (51, 52), flush=False), KillQemu()),
    "aborted in phase one": (Write("vda", "E", (1, 50)), Abort("vda")),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_commit_that_ends_early_leaves_the_guests_disk_whole_and_can_be_done_again(trial: Trial, end: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays that, shut off or live, and then becomes   base (live)."""
    trial.create_base(LARGE)
    vm = trial.define().bring_up().grow(LAYERS)
    vda = vm.disk("vda")
    vda.write("G", range(10, 50))

    # 1 MiB a second, of 2.5 MiB: but for what awaits READY, which nothing slows down
    vda.active_commit(into="base", bandwidth=0 if "READY" in end else 1)
    trial.do(*ENDS[end])
    trial.verify("ended early")
    if not vm.state.is_on:
        vm.bring_up()
    assert vda.chain() == Chain.named("base", "sn1", "sn2", "cur")
    trial.verify("live again")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()
    trial.verify("done again")
    assert vda.chain() == Chain.named("base")
