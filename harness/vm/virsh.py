"""What virsh and qemu-img print for people, read by the few things that hold on every release."""

from __future__ import annotations

import re


def active_images(domblklist: str) -> dict[str, str]:
    """Target to source of each disk, from what `virsh domblklist` prints."""
    _, _, body = domblklist.partition("---")
    return dict(re.findall(r"^\s*(\S+)\s+(/\S+)\s*$", body, re.MULTILINE))


def job_progress(printed: str) -> list[float]:
    """The percentages that a block job's `--verbose` printed, in order.

    libvirt 9 prints `[100 %]`, 11.3 `[100.00 %]`; between them stand carriage returns or, from 12.8, off a terminal,
    line ends.
    """
    return [float(number) for number in re.findall(r"\[\s*([\d.]+) %\]", printed)]


def listed_images(info: str) -> list[str]:
    """The file names of the images that `qemu-img info --backing-chain` tells of, the active layer first."""
    return re.findall(r"^image: (.+)$", info, re.MULTILINE)
