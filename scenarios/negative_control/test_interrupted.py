"""A run that is interrupted ends soon, prints what it knows, claims nothing and leaves nothing."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from harness.detect.inner_run import MARK, ROOT
from harness.detect.leftovers import leftovers
from harness.process import PIPE, STDOUT, end, read_until, spawn
from harness.run.properties import REMARK
from harness.waiting import NotYet, now, wait_until

WITHIN = 1.0  # seconds from its end, on any machine: not stretched as deadlines are


@pytest.fixture
def work() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cp-", dir="/var/tmp") as directory:  # short: sockets lie below it
        yield Path(directory)


CUT_SHORT = "chainproof: interrupted"
"""What a run prints that does not end in time by itself, as on a machine that is busy."""
MATRIX = ("matrix", "host", "--", "-n", "2", "-v", "scenarios/commit", "-p", "no:cacheprovider")
RUNS = {
    # the verb with its arguments, the text after which it is interrupted, and what it prints then
    "procedure": (("procedure",), b"T0", "NO VERDICT on libvirt"),
    "matrix": (MATRIX, b"PASSED", "KeyboardInterrupt"),
}


@pytest.mark.parametrize("name", RUNS)
def test_an_interrupted_run_claims_nothing_and_leaves_nothing(
    name: str, work: Path, record_property: Callable[[str, object], None]
) -> None:
    """Ctrl-C in the middle of a scenario: exit status 130, within seconds, with no process or file left."""
    arguments, text, printed = RUNS[name]
    verb, *more = arguments
    status, output, seconds = _interrupted([verb, *more, "--work-dir", str(work)], text, mark=str(work))

    assert status == 128 + signal.SIGINT, output
    assert printed in output or CUT_SHORT in output, output
    assert "PROVED" not in output
    record_property(REMARK, f"ended {seconds:.1f} s after the signal")

    def nothing_left() -> None:
        left = leftovers(str(work), work)
        if left:
            raise NotYet("; ".join(left))

    wait_until("everything of the interrupted run to be gone", nothing_left, WITHIN, interval=0.02, stretched=False)


def _interrupted(arguments: Sequence[str], after: bytes, *, mark: str) -> tuple[int, str, float]:
    """The exit status of a run that is interrupted once it has printed `after`, its output, and how long it took."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    line = [sys.executable, "-u", "-m", "harness.run", *arguments]
    child = spawn(line, environment={**kept, MARK: mark}, directory=ROOT, stdout=PIPE, stderr=STDOUT)
    try:
        assert child.stdout is not None
        before = read_until(child.stdout.fileno(), after, "the run to begin", seconds=120)
        interrupted = now()
        os.kill(child.pid, signal.SIGINT)
        rest = read_until(child.stdout.fileno(), None, "the run to end", seconds=60)
        status = end(child, timeout=20)
        return status, (before + rest).decode(errors="replace"), now() - interrupted
    finally:
        end(child, timeout=20)
