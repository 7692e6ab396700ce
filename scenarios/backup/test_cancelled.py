"""Backups in push mode that are cancelled in each phase: the disk is as it was, and its bitmaps say what they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.backup import AwaitBackup, BeginBackup, EndBackup
from harness.acts.chain import AwaitUnderWay
from harness.acts.images import CreateImage, PaceServer, served
from harness.oracle.image import Raw
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")
_SLOW = 131072  # bytes a second: the whole disk takes six seconds
PHASES: Mapping[str, Sequence[Act]] = {
    "begun": (),
    "under way": (AwaitUnderWay(),),
}
DESTS: Mapping[str, Sequence[Act]] = {"made by libvirt": (), "there before": (CreateImage("half"),)}


_FEW = (("begun", "there before"), ("under way", "made by libvirt"))


@pytest.mark.parametrize(
    ("phase", "dest"),
    [
        pytest.param(phase, dest, marks=[] if (phase, dest) in _FEW else [pytest.mark.full])
        for phase in PHASES
        for dest in DESTS
    ],
)
def test_a_backup_that_is_cancelled_leaves_the_disk_and_its_bitmaps(trial: Trial, phase: str, dest: str) -> None:
    """base (NBD) <- cur (live), half backed up   stays   base <- cur (live), and is backed up whole afterwards."""
    vm = _served(trial)
    vda = vm.disk()
    vm.checkpoint("ck1")
    vda.write("C", (0, 4))
    trial.do(*DESTS[dest], PaceServer(_SLOW))
    trial.do(BeginBackup(dests=("half",), checkpoint="ck2", reuse=dest == "there before"), *PHASES[phase])
    vda.write("D", (1,))
    trial.do(EndBackup(), PaceServer(0))
    trial.verify("cancelled")
    vda.write("E", (1, 5))
    instant = vda.content.guest()
    trial.do(BeginBackup(dests=("whole",)), AwaitBackup())
    with vm.pull_backup(since="ck2"):
        trial.verify_backup("since the instant of the one that was cancelled")

    trial.verify("backed up")
    assert vda.content.reads_as("whole", instant)


def _served(trial: Trial) -> Vm:
    """A VM on an overlay over an image that a server has, which holds all that is below."""
    trial.do(CreateImage("base", format=Raw(), store=served("base")))
    vm = trial.define().bring_up()
    vm.disk().write("A", tuple(range(12)))
    vm.disk().snapshot("cur")
    vm.disk().write("B", (1, 2))
    return vm
