"""Backups in pull mode: a client reads the disk of one instant over NBD."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.trial.trial import Trial
from harness.vm.backup import PullBackup

pytestmark = pytest.mark.needs("backup")


@pytest.mark.parametrize("iothread", [False, True], ids=["main thread", "iothread"])
def test_a_client_reads_the_instant_at_which_the_backup_began_and_leaves(trial: Trial, iothread: bool) -> None:
    """base (live)   stays   base (live), whatever the guest writes meanwhile."""
    trial.machine = replace(trial.machine, iothread=iothread)
    domain = trial.define(trial.create_base())
    guest = trial.bring_up()
    guest.write_marker("A", (0, 1, 5))
    began = guest.read_disk(domain.disk.content.geometry.size)
    copy = trial.path("copy")

    with PullBackup(domain, trial.path("scratch")) as backup:
        guest.write_marker("B", (1, 2))
        trial.type(f"qemu-img convert -f raw -O raw {backup.url} {copy}").check()
    read = trial.daemon.sandbox.outside(copy)

    assert read.read_bytes() == began
    read.unlink()
    trial.verify("the backup is ended")
