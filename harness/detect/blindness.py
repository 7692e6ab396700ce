"""Whether what a scenario verifies would have noticed: it is verified once more, with images that are wrong."""

from __future__ import annotations

from harness.errors import CheckFailed
from harness.oracle.image import File
from harness.oracle.parts import ZERO, Part
from harness.storage import tool
from harness.trial.nouns import Disk
from harness.trial.trial import Trial

_WRONG = 0xEE
"""No marker and no zeros are made of it."""
_MOST = 1 << 30  # bytes that qemu-io writes at once


def require_sight(trial: Trial) -> str:
    """Have a wrong part, and then zeros all over, in the active image of a disk noticed; the VMs must be off.

    Returns why that cannot be, "" if it has been. Raises CheckFailed if something wrong is not noticed.
    """
    disk = next((disk for vm in trial.vms for disk in vm.disks if _is_known(disk)), None)
    if disk is None:
        return "no disk has bytes that are known, in a file"
    shown = disk.content.guest()
    size = disk.content.geometry.part_size
    at = next(number for number, part in enumerate(shown) if _certain(part))
    _require_noticed(trial, disk, f"{size} wrong bytes at {at * size}", f"write -q -P {_WRONG} {at * size} {size}")
    if disk.content.size > _MOST:
        return f"zeros all over {disk.content.size} bytes"
    if any(isinstance(part, str) for part in shown):
        _require_noticed(trial, disk, "zeros all over", f"write -q -z 0 {disk.content.size}")
    return ""


def _is_known(disk: Disk) -> bool:
    if disk.opaque or not isinstance(disk.image(disk.content.active).store, File):
        return False
    return disk.content.readable(disk.content.active) and any(map(_certain, disk.content.guest()))


def _certain(part: Part) -> bool:
    return isinstance(part, str) or part is ZERO


def _require_noticed(trial: Trial, disk: Disk, what: str, command: str) -> None:
    image = disk.image(disk.content.active)
    alone = disk.content.is_encrypted(image.name)
    words = ["qemu-io", "-c", command, *tool.opened(image, alone=alone)]
    trial.daemon.sandbox.run(words, timeout=60).check()
    try:
        trial.verify(f"the end, with {what}")
    except CheckFailed:
        return
    raise CheckFailed(f"what is verified notices {what} in {image}", "nothing was noticed")
