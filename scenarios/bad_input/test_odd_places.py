"""Where a checkout or a work directory lies, and as whom a run is root, makes no difference."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.detect.inner_run import ROOT, SCENARIO, inner_run
from harness.process import run

ODD = "a \"b\" 'c' \\ é\n<&>%20"
_ALONE = ("unshare", "--user", "--map-root-user")  # maps one uid, and forbids setgroups


@pytest.fixture
def work() -> Iterator[Path]:
    """A directory whose path is short enough for sockets below it."""
    with tempfile.TemporaryDirectory(prefix="cpt-", dir="/var/tmp") as directory:
        yield Path(directory)


@pytest.mark.parametrize("mode", ["auto", "session"])
def test_a_work_directory_may_have_any_name(work: Path, mode: str) -> None:
    ended = inner_run(SCENARIO, "--mode", mode, "--work-dir", str(work / ODD), "--evidence", str(work))

    assert ended.exit_status == 0, ended.output
    assert list((work / ODD).iterdir()) == []


def test_a_checkout_may_have_blanks_and_any_letters_in_its_path(work: Path) -> None:
    checkout = work / "a chéckout"
    passed_over = shutil.ignore_patterns("evidence", "__pycache__")
    for name in ("harness", "images", "scenarios", "ci"):
        shutil.copytree(ROOT / name, checkout / name, ignore=passed_over)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout / name)

    begin = [sys.executable, "-m", "harness.run"]
    unit = run([*begin, "unit", "harness/tests/test_imports.py"], timeout=120, directory=checkout)
    scenario = run([*begin, "scenarios", "-n", "1", SCENARIO], timeout=120, directory=checkout)

    for ended in (unit, scenario):
        assert ended.exit_status == 0, ended.output
        assert f"rootdir: {checkout}" in ended.stdout


def test_root_of_one_uid_has_the_session_daemon(work: Path) -> None:
    ended = inner_run(SCENARIO, "--work-dir", str(work / "work"), "--evidence", str(work), within=_ALONE)

    assert ended.exit_status == 0, ended.output
    assert ", session mode" in ended.stdout


def test_root_of_one_uid_is_refused_the_system_daemon() -> None:
    ended = inner_run(SCENARIO, "--mode", "system", within=_ALONE)

    assert ended.exit_status == 2
    assert "ERROR: --mode system is impossible: this user namespace forbids supplementary groups" in ended.stderr
    assert "use --mode session, or auto" in ended.stderr
