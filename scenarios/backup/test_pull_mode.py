"""Backups in pull mode: a client reads the disk of one instant over NBD."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from harness.acts.images import LeaveFile, RemoveFile
from harness.oracle.driver import Driver
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")


@pytest.mark.parametrize("iothread", [False, True], ids=["main thread", "iothread"])
def test_a_client_reads_the_instant_at_which_the_backup_began_and_leaves(trial: Trial, iothread: bool) -> None:
    """base (live)   stays   base (live), whatever the guest writes meanwhile."""
    trial.create_base()
    vda = trial.define(driver=Driver(iothread=iothread)).bring_up().disk("vda")
    vda.write("A", (0, 1, 5))
    began = vda.read()
    copy = PurePosixPath("/export/images/copy.raw")

    with vda.pull_backup() as backup:
        vda.write("B", (1, 2))
        convert = ("qemu-img", "convert", "-f", "raw", "-O", "raw", backup.url, str(copy))
        trial.do(LeaveFile(convert, str(copy)))
    read = trial.daemon.sandbox.outside(copy).read_bytes()
    trial.do(RemoveFile(str(copy)))

    assert read == began
    trial.verify("the backup is ended")
