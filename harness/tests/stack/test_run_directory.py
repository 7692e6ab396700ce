from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from harness.errors import Unusable
from harness.stack.run_directory import RunDirectory


@pytest.fixture
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("w") / "work"


def test_the_work_directory_is_made_for_us_alone(work: Path) -> None:
    before = os.umask(0)
    try:
        RunDirectory(work).close()
    finally:
        os.umask(before)

    assert stat.S_IMODE(work.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_one_that_others_can_write_to_is_refused(work: Path, mode: int) -> None:
    work.mkdir()
    work.chmod(mode)

    with pytest.raises(Unusable, match=rf"others can write to the work directory {work} \(mode {mode:04o}\); chmod"):
        RunDirectory(work)
    assert list(work.iterdir()) == []


def test_one_that_others_can_only_read_is_taken(work: Path) -> None:
    work.mkdir(mode=0o755)

    RunDirectory(work).close()


def test_one_of_another_owner_is_refused(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work.mkdir(mode=0o700)
    us = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: us + 1)

    with pytest.raises(Unusable, match=f"{work} belongs to uid {us}, not to uid {us + 1}; choose another"):
        RunDirectory(work)


def test_a_link_that_somebody_may_have_laid_is_refused(work: Path) -> None:
    (work.parent / "theirs").mkdir()
    work.symlink_to("theirs")

    with pytest.raises(Unusable, match=f"{work} is a symbolic link; name what it leads to"):
        RunDirectory(work)


def test_a_file_is_refused(work: Path) -> None:
    work.touch()

    with pytest.raises(Unusable, match=f"{work} cannot be used: File exists"):
        RunDirectory(work)
