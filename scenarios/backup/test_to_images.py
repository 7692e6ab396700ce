"""Backups in push mode to images that are there, empty ones and raw ones; and what libvirt tells meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.acts.backup import AwaitBackup, BeginBackup, EndBackup
from harness.acts.images import CreateImage
from harness.oracle.image import Qcow2, Raw
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")
_MADE: Mapping[str, CreateImage] = {
    "qcow2": CreateImage("dest"),
    "qcow2, clusters of 4 KiB": CreateImage("dest", format=Qcow2(cluster_size=4096)),
    "raw": CreateImage("dest", format=Raw()),
}
ROWS = [pytest.param(row, marks=[pytest.mark.full] if row == "qcow2" else []) for row in _MADE]


@pytest.mark.parametrize("made", ROWS)
def test_a_backup_to_an_image_that_is_there_is_the_disk_of_the_instant(trial: Trial, made: str) -> None:
    """base <- sn1 (live)   is backed up as   dest, whatever the guest writes meanwhile."""
    trial.create_base()
    vda = trial.define().bring_up().disk()
    vda.write("A", (0, 1, 2, 3))
    vda.snapshot("sn1")
    vda.zero((2,), ranges=((7 * 65536 + 4096, 4096),))
    trial.do(_MADE[made])
    instant = vda.content.guest()

    trial.do(BeginBackup(dests=("dest",), reuse=True))
    vda.write("B", (1, 9))
    vda.discard((0,))
    trial.do(AwaitBackup())

    trial.verify("backed up")
    assert vda.content.reads_as("dest", instant)


def test_libvirt_tells_of_a_backup_that_is_on(trial: Trial) -> None:
    """base (live), served   stays as it is."""
    trial.create_base()
    vm = trial.define().bring_up()
    vm.disk().write("A", (0, 1))
    vm.checkpoint("ck1")
    trial.do(BeginBackup(since="ck1", checkpoint="ck2"))

    told = str(vm.ask("virDomainBackupGetXMLDesc"))
    assert "<domainbackup mode='pull'" in told
    assert "<incremental>ck1</incremental>" in told
    trial.verify_backup("while libvirt tells of it")
    trial.do(EndBackup())
    trial.verify("ended")
