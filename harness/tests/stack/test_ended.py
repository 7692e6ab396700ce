"""How a process has ended is told to whoever had hold of it, after its parent has reaped it."""

from __future__ import annotations

import os

import pytest

from harness.process import spawn
from harness.stack.ended import Watched


def ending(script: str) -> tuple[str, str]:
    """What is told of a process that runs a shell script: while it runs, and after its end."""
    child = spawn(["sh", "-c", f"read go; {script}"])
    watched = Watched(os.pidfd_open(child.pid))
    try:
        before = watched.ending()
        child.communicate(b"go\n")
        return before, watched.ending()
    finally:
        watched.close()


@pytest.mark.parametrize(
    ("script", "told"), [("exit 0", "status 0"), ("exit 3", "status 3"), ("kill -ABRT $$", "signal ABRT")]
)
def test_status_and_signal_are_told(script: str, told: str) -> None:
    before, after = ending(script)

    assert before == ""
    if after == "" and tuple(map(int, os.uname().release.split("-")[0].split(".")[:2])) < (6, 15):
        pytest.skip("this kernel does not tell")
    assert after == told
