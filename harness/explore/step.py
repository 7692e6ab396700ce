"""The checks after every step of a walk: those of the universal ones that cost little, and hold whatever is on."""

from __future__ import annotations

from harness.acts.act import VM
from harness.explore.universe import races
from harness.oracle.state import Power
from harness.trial import measure
from harness.trial.trial import Trial
from harness.verdict.check import OFF, ON, Check
from harness.verdict.checks import Made, look
from harness.verdict.explanation import require_on
from harness.verdict.file_checks import status_files
from harness.verdict.finding import ChecksFailed
from harness.verdict.sight import Sight

COSTLY = frozenset(
    {
        "content",  # in its place, `measure.glance`: without QEMU's own reader
        "content, shut off",
        "chain in the image headers",  # each starts a process; `measure.glance` reads the headers, too
        "backing format",
        "virtual size",
        "chain in domblklist",
        "images clean",
        "readers agree",
        "locks released",
    }
)
"""Checks that are made at the end of a walk only."""
WHEN_IDLE = frozenset(
    {
        "chain in QEMU",
        "block nodes",
        "options of block nodes",
        "exports and bitmaps",
        "no job left",
        "no job in QEMU",
        "events in order",
        "events alike",
        "ends of jobs",
        "files",
        "definition on disk",
        "status on disk",
    }
)
"""Checks of what is otherwise while a job or a backup is on, or has been for a moment."""


def hold(trial: Trial, moment: str, *, images: bool) -> None:
    """Hold what there is after a step to the oracle. Raises CheckFailed, ChecksFailed.

    With `images`, the images are read as often as the guest has flushed; without, only those of a VM that is off:
    what flushes before it looks never sees that something was not flushed.
    """
    machine = trial.state.vm(VM)
    if trial.state.broken:  # whoever looks would meet it
        return
    if trial.state.daemon is not None:
        require_on(trial)
    disks = trial.vm().all_disks
    settled = not any(races(disk.content) for disk in disks)
    flushed = not any(disk.content.unflushed or disk.content.in_flight for disk in disks)
    for disk in disks:
        at_rest = not disk.is_on or (images and flushed and machine.power is Power.RUNNING)
        measure.glance(disk, moment, trial.readers, images=settled and at_rest)
    if trial.state.daemon is None:
        return
    idle = not machine.backup and not any(disk.content.job or disk.content.in_flight for disk in disks)

    def wanted(check: Check) -> bool:
        return check.name not in COSTLY and (idle or check.name not in WHEN_IDLE)

    findings = look(Sight(trial, status_files(trial)), Made(), ON | OFF, wanted) if settled else []
    if findings:
        raise ChecksFailed(f"the checks after each step hold {moment}", findings)
