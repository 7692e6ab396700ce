"""Backups in pull mode: a client reads the disk of one instant over NBD."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

import pytest

from harness.acts.images import LeaveFile, RemoveFile
from harness.oracle.driver import Driver
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")


CLIENTS: Mapping[str, tuple[str, ...]] = {
    "qemu-img": ("qemu-img", "convert", "-f", "raw", "-O", "raw"),
    "nbdcopy": ("nbdcopy",),
    "nbdcopy, one request at a time": ("nbdcopy", "--connections=1", "--requests=1", "--sparse=65536"),
}
_MARKS = {
    "nbdcopy": [pytest.mark.program("nbdcopy")],
    "nbdcopy, one request at a time": [pytest.mark.program("nbdcopy"), pytest.mark.full],
}
ROWS = [pytest.param(client, marks=_MARKS.get(client, [])) for client in CLIENTS]


@pytest.mark.parametrize("client", ROWS)
@pytest.mark.parametrize("iothread", [False, True], ids=["main thread", "iothread"])
def test_a_client_reads_the_instant_at_which_the_backup_began_and_leaves(
    trial: Trial, iothread: bool, client: str
) -> None:
    """base (live)   stays   base (live), whatever the guest writes meanwhile."""
    trial.create_base()
    vda = trial.define(driver=Driver(iothread=iothread)).bring_up().disk("vda")
    vda.write("A", (0, 1, 5))
    began = vda.read()
    copy = PurePosixPath("/export/images/copy.raw")

    with vda.pull_backup() as backup:
        vda.write("B", (1, 2))
        trial.do(LeaveFile((*CLIENTS[client], backup.url, str(copy)), str(copy)))
    read = trial.daemon.sandbox.outside(copy).read_bytes()
    trial.do(RemoveFile(str(copy)))

    assert read == began
    trial.verify("the backup is ended")
