"""A run that is killed at an instant that random kills seldom hit leaves nothing, either."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.detect.inner_run import MARK, start_victim
from harness.detect.leftovers import leftovers
from harness.detect.victim import INSTANTS
from harness.process import run, wait
from harness.run.properties import REMARK
from harness.waiting import NotYet, now, wait_until

WITHIN = 1.0  # seconds from the kill, on any machine: not stretched as deadlines are
LONGEST = {"an inner run": 6.0, "a command in a sandbox stops": 0.2}  # seconds after the instant's beginning


@pytest.fixture
def work() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cp-", dir="/var/tmp") as directory:
        disk = Path(directory, "work.ext4")
        with disk.open("wb") as file:
            file.truncate(27 << 20)
        run(["/sbin/mke2fs", "-q", "-t", "ext4", str(disk)], timeout=60).check()
        (work := Path(directory, "work")).mkdir(mode=0o700)
        yield work


@pytest.mark.parametrize("instant", INSTANTS)
def test_kill_9_at_a_named_instant_leaves_nothing(
    instant: str, work: Path, kills: int, record_property: Callable[[str, object], None]
) -> None:
    """Processes, mounts, files: all gone one second after the kill."""
    chance = random.Random(f"{instant} {kills}")
    longest = [LONGEST.get(instant, chance.choice((0.005, 0.05))) for _ in range(kills)]

    taken = [_seconds_until_gone(instant, chance.uniform(0, most), work) for most in longest]

    record_property(REMARK, f"{kills} kills, aimed at: {instant}: nothing was left after {max(taken):.2f} s at most")


def _seconds_until_gone(instant: str, seconds: float, work: Path) -> float:
    """Kill a victim that long after the instant's beginning; returns how long something of it was seen after that."""
    mark = f"{work}-{seconds}"
    victim = start_victim(instant, seconds, work, {MARK: mark, "TMPDIR": str(work)})
    status = wait(victim, f"the victim to die when {instant}", timeout=60)
    killed = now()
    assert status == -9, f"the victim ended with status {status}"

    def nothing_left() -> None:
        left = [*leftovers(mark, work), *map(str, work.parent.glob("cache/*/*-????????"))]
        if left:
            raise NotYet(f"killed {seconds:.4f} s after {instant}: {'; '.join(left)}")

    wait_until("everything of the victim to be gone", nothing_left, WITHIN, interval=0.02, stretched=False)
    return now() - killed
