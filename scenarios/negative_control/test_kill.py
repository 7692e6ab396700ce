"""A run that is killed leaves nothing, and the next one is none the worse for it."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from harness.detect.inner_run import MARK, SCENARIO, inner_run, start_inner_run
from harness.detect.leftovers import leftovers
from harness.process import ended_within
from harness.run.properties import REMARK
from harness.waiting import NotYet, now, wait_until

LONGEST = 6.0  # seconds: past the end of the run that is killed, on a quiet machine
WITHIN = 1.0  # seconds from the kill, on any machine: not stretched as deadlines are


@pytest.fixture
def work() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cp-", dir="/var/tmp") as directory:  # short: sockets lie below it
        yield Path(directory)


def test_kill_9_at_any_instant_leaves_nothing(
    work: Path, kills: int, record_property: Callable[[str, object], None]
) -> None:
    """Processes, mounts, sockets, files: all gone one second after pytest was killed, workers and all."""
    instants = random.Random(kills)
    options = ("-n", "2", "--work-dir", str(work), SCENARIO, SCENARIO.replace("sn1-base", "sn2-base"))

    taken = [_seconds_until_gone(instants.uniform(0.0, LONGEST), work, options) for _ in range(kills)]

    record_property(REMARK, f"{kills} kills: nothing was left after {max(taken):.2f} s at most")
    ended = inner_run(*options)
    assert ended.exit_status == 0, ended.output
    assert leftovers(str(work), work) == []


def _seconds_until_gone(instant: float, work: Path, options: Sequence[str]) -> float:
    """Start a run, kill it after `instant` seconds, and return how long something of it was seen after that."""
    mark = f"{work}-{instant}"
    run = start_inner_run(*options, environment={MARK: mark})
    ended_within(run, instant)
    killed = now()
    run.kill()
    run.wait()

    def nothing_left() -> None:
        left = leftovers(mark, work)
        if left:
            raise NotYet(f"after a kill at {instant:.3f} s: {'; '.join(left)}")

    wait_until("everything of the killed run to be gone", nothing_left, WITHIN, interval=0.02, stretched=False)
    return now() - killed
