"""A writer in the guest that numbers its writes across disks: what two images show is of one instant, or it is not.

Write n goes to each disk in turn, and is acknowledged before the next one begins: at any instant the disks have n, or
those that come later have n - 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_COUNT = "/tmp/striped"
STOP = "touch /tmp/unstripe; until [ -e /tmp/unstriped ]; do usleep 10000; done"
AWAIT = f'n=$(cat {_COUNT}); until [ "$(cat {_COUNT})" -gt "$n" ]; do usleep 5000; done'
"""Wait until one more round is written."""


def start(disks: Sequence[str]) -> str:
    """The shell script that has the guest write, until STOP."""
    writes = "".join(
        f"printf %08d $n | dd of=/dev/{disk} bs=512 conv=sync,notrunc oflag=direct 2>/dev/null || break; "
        for disk in disks
    )
    forever = f"n=0; until [ -e /tmp/unstripe ]; do n=$((n + 1)); {writes}echo $n >{_COUNT}; done; touch /tmp/unstriped"
    begun = f'until [ "$(cat {_COUNT} 2>/dev/null || echo 0)" -gt 0 ]; do usleep 5000; done'
    return f"rm -f /tmp/unstripe*; setsid sh -c '{forever}' >/dev/null 2>&1 & {begun}"


def number(data: bytes) -> int:
    """The number of the last write that a disk shows, from its first bytes; 0 if there was none."""
    return int(data[:8]) if data[:8].isdigit() else 0


def of_one_instant(numbers: Sequence[int]) -> bool:
    """Whether disks that show these numbers, in the order in which they are written to, are of one instant."""
    return numbers[0] - numbers[-1] in (0, 1) and all(later <= earlier for earlier, later in pairwise(numbers))
