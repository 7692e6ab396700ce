from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.detect.inner_run import MARK
from harness.detect.leftovers import leftovers
from harness.errors import WaitTimeout
from harness.stack.enclosed import run_enclosed

FORKED = "setsid sleep 600 >/dev/null 2>&1 &"


def test_it_is_as_if_it_ran_outside() -> None:
    done = run_enclosed(["sh", "-c", 'echo "$A"; echo b >&2; exit 3'], timeout=10, environment={**os.environ, "A": "a"})

    assert (done.stdout, done.stderr, done.exit_status) == ("a\n", "b\n", 3)


def test_what_it_has_forked_ends_with_it(tmp_path: Path) -> None:
    mark = f"enclosed-{os.getpid()}"

    run_enclosed(["sh", "-c", f"{FORKED} true"], timeout=10, environment={**os.environ, MARK: mark}).check()

    assert leftovers(mark, tmp_path) == []


def test_what_it_has_forked_ends_at_its_deadline(tmp_path: Path) -> None:
    mark = f"enclosed-late-{os.getpid()}"

    with pytest.raises(WaitTimeout):
        run_enclosed(["sh", "-c", f"{FORKED} sleep 600"], timeout=0.3, environment={**os.environ, MARK: mark})

    assert leftovers(mark, tmp_path) == []
