"""QEMU is killed: what it had not written of bitmaps is refused, never a backup that lacks something."""

from __future__ import annotations

import pytest

from harness.acts.asked import Ask
from harness.acts.checkpoint import DeleteCheckpoint
from harness.acts.faults import KillQemu
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")
_SERVER = "<server transport='unix' socket='/export/b.nbd'/>"
_SINCE = Ask(
    "virDomainBackupBegin",
    {"checkpoint": None},
    (),
    f"<domainbackup mode='pull'><incremental>ck1</incremental>{_SERVER}</domainbackup>",
)


@pytest.mark.parametrize("stored", [False, True], ids=["since this start", "since the one before"])
def test_a_bitmap_of_a_killed_qemu_is_refused(trial: Trial, stored: bool) -> None:
    """base (live), a checkpoint, SIGKILL   serves no backup since it, but a whole one, and those since a new one."""
    trial.create_base()
    vm = trial.define().bring_up()
    vda = vm.disk()
    vda.write("A", (0, 1, 2))
    vm.checkpoint("ck1")
    vda.write("B", (1,))
    if stored:
        vm.shut_off()
        vm.bring_up()
        vda.write("C", (2,))
    trial.do(KillQemu())
    vm.bring_up()
    vda.write("D", (3,))

    trial.refused(_SINCE, "missing or broken bitmap 'ck1'")
    with vda.pull_backup():
        trial.verify_backup("whole")
    trial.do(DeleteCheckpoint("ck1", metadata_only=True))
    vm.checkpoint("ck2")
    vda.write("E", (4,))
    with vda.pull_backup(since="ck2"):
        trial.verify_backup("since the new one")
    trial.verify("backed up")


def test_a_bitmap_below_the_active_layer_outlives_a_killed_qemu(trial: Trial) -> None:
    """base <- sn1 (live), a checkpoint in base, SIGKILL   the bitmap of base is what it was; that of sn1 is refused."""
    trial.create_base()
    vm = trial.define().bring_up()
    vda = vm.disk()
    vda.write("A", (0, 1, 2))
    vm.checkpoint("ck1")
    vda.write("B", (1,))
    vda.snapshot("sn1")
    vda.write("C", (2,))
    trial.do(KillQemu())
    vm.bring_up()

    trial.refused(_SINCE, "(missing or broken bitmap|bitmap) 'ck1'")
    trial.verify("refused")
