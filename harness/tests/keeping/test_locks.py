from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import Unusable
from harness.keeping import locks
from harness.keeping.locks import locked
from harness.process import kill
from harness.tests.keeping.elsewhere import living_elsewhere

HOLD = """
import sys
from pathlib import Path
from harness.keeping.locks import locked
with locked(Path(sys.argv[1]), "the guest", timeout=1):
    print("held")
    sys.stdin.read()
"""


def test_a_wait_is_told_and_ends_with_the_names_of_the_file_and_of_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locks, "TOLD_AFTER", 0.0)
    file = tmp_path / "lock"
    with locked(file, "the guest", timeout=1), pytest.raises(Unusable) as caught, locked(file, "it", timeout=0.2):
        pass

    assert f"{file} is still locked by process {os.getpid()} of " in caught.value.problem
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith(f"chainproof: waiting for it: process {os.getpid()} of ")
    assert told.endswith(f" has locked {file}\n")


def test_a_short_wait_is_not_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lock"
    with locked(file, "the guest", timeout=1), pytest.raises(Unusable), locked(file, "it", timeout=0.1):
        pass

    assert capsys.readouterr().err == ""


def test_a_holder_in_another_process_namespace_counts_as_long_as_it_lives(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with living_elsewhere(HOLD, file) as (child, _):
        with pytest.raises(Unusable, match="is still locked by process"), locked(file, "it", timeout=0.1):
            pass
        kill(child)
        with locked(file, "it", timeout=10):
            pass


def test_a_lock_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    file = tmp_path / "nowhere/lock"
    with pytest.raises(Unusable, match=f"its lock {file} cannot be opened: No such"), locked(file, "it", timeout=1):
        pass
