"""pytest itself, with the hooks of our conftest: no VM, and a bug that shows when the test says so."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.detect.inner_run import ROOT
from harness.process import run

CONFTEST = f"""
import importlib.util

import pytest

from harness.verdict.known_bugs import KnownBug

spec = importlib.util.spec_from_file_location("ours", {str(ROOT / "conftest.py")!r})
ours = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ours)
pytest_runtest_protocol = ours.pytest_runtest_protocol
pytest_runtest_makereport = ours.pytest_runtest_makereport
BUG = KnownBug("", "lost", "QEMU", "1.0", None, "", "It loses.", "shows on 1", sometimes=".")
ours.repeated_for = lambda scenario, bugs=(BUG,): list(bugs)


def pytest_configure(config):
    config.pluginmanager.register(ours.ToldLines())


@pytest.fixture(autouse=True)
def affected(request):
    request.node.stash[ours._bugs] = [] if "elsewhere" in request.node.name else [BUG]
"""
TESTS = """
from collections import Counter

rounds = Counter()


def passes_before(name, last):
    rounds[name] += 1
    return rounds[name] < last


def test_third():
    assert passes_before("third", 3), "cell 3 is lost"


def test_other():
    assert passes_before("other", 2), "cell 3 is torn"


def test_never():
    pass


def test_elsewhere():
    assert passes_before("elsewhere", 2)
"""


def test_what_passes_is_repeated_until_the_bug_shows_and_anything_else_is_red_at_once(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_rounds.py").write_text(TESTS)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]

    ended = run(command, timeout=60, environment={**kept, "PYTHONPATH": str(ROOT)}, directory=tmp_path)

    assert "1 failed, 2 passed, 1 xfailed" in ended.output, ended.output
    assert ended.exit_status == 1
    for told in ("test_third: showed in 1 of 3", "test_other: showed in 0 of 2", "test_never: showed in 0 of 5"):
        assert f"chainproof: {told} rounds: It loses." in ended.output
    assert "test_elsewhere" not in ended.output
