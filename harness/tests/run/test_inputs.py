"""What cannot be used is refused before anything starts, each in one line, and nothing is left of the look."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from harness.detect.inner_run import SCENARIO, inner_run
from harness.errors import Unusable
from harness.run.inputs import count, positive, require_writable


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast", ""])
def test_a_factor_is_a_number_above_0(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="no number above 0"):
        positive(text)
    assert positive("0.5") == 0.5


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_a_count_is_a_whole_number_above_0(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="no whole number above 0"):
        count(text)
    assert count("12") == 12


def test_a_directory_that_is_not_there_yet_can_be_used_and_is_not_made(tmp_path: Path) -> None:
    require_writable("work directory", tmp_path / "a/b", "--work-dir")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_a_file_or_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name in ("file", "file/below", "link", "link/below"):
        with pytest.raises(Unusable, match=f"the work directory {tmp_path}/{name} cannot be written.*; choose another"):
            require_writable("work directory", tmp_path / name, "--work-dir")


def test_all_problems_are_printed_once_and_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/warm").touch()
    given = ("--stack", "hots", "--work-dir", "/proc/work", "--evidence", "/proc/evidence", "--results", "/proc/x/y")
    ended = inner_run(SCENARIO, *given, "-n", "2", environment={"CHAINPROOF_CACHE": str(tmp_path / "cache")})

    lines = [line for line in ended.stderr.splitlines() if line]
    assert ended.exit_status == 2
    assert ended.stdout == ""
    assert [line.partition(" cannot")[0] for line in lines] == [
        "ERROR: hots: there is no such kind of stack; did you mean host?",
        "ERROR: the work directory /proc/work",
        "ERROR: the evidence directory /proc/evidence",
        f"ERROR: the cache directory {tmp_path}/cache/warm",
        "ERROR: the directory for the results /proc/x",
    ]


def test_a_full_cache_is_one_line() -> None:
    small = ["bwrap", "--dev-bind", "/", "/", "--size", str(1 << 20), "--tmpfs", "/mnt"]
    ended = inner_run(SCENARIO, environment={"CHAINPROOF_CACHE": "/mnt/cache"}, within=small)

    assert ended.exit_status == 2, ended.output
    assert "INTERNALERROR" not in ended.output
    assert "No space left on device" in ended.output
