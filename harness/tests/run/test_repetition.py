"""What passes is repeated until a bug that shows only sometimes shows; the last round stands for all."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.detect.inner_run import ROOT
from harness.process import run
from harness.run.properties import GUEST, REMARK
from harness.run.repetition import is_last, sum_up
from harness.tests.run.reports import BUG, report

SOMETIMES = replace(BUG, sometimes="x")
CONFTEST = """
import pytest

from harness.run import judging
from harness.run.repetition import Repetition
from harness.run.reporters import Remarks
from harness.verdict.known_bug import KnownBug

BUG = KnownBug("", "AssertionError", "lost", "QEMU", "1.0", None, "", "It loses.", "shows on 1", sometimes=".")
pytest_plugins = ["harness.run.judging"]


def pytest_addoption(parser):
    parser.addoption("--replay", default=[])


def pytest_configure(config):
    config.pluginmanager.register(Repetition([BUG]))
    config.pluginmanager.register(Remarks())


@pytest.fixture(autouse=True)
def affected(request):
    request.node.stash[judging.bugs] = [] if "elsewhere" in request.node.name else [BUG]
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


def one_round(call: pytest.TestReport) -> list[pytest.TestReport]:
    call.user_properties.append((GUEST, "restored"))
    return [report(when="setup"), call, report(when="teardown")]


def expected() -> pytest.TestReport:
    """A failure that a known bug made an expected one."""
    made = report("skipped")
    made.wasxfail = f"known bug: {BUG.sentence}"
    return made


def test_only_a_round_that_passed_whole_is_repeated() -> None:
    assert not is_last(one_round(report()))
    assert is_last(one_round(expected()))
    assert is_last(one_round(report("failed")))
    assert is_last([report(when="setup"), report(), report("failed", "teardown")])
    assert is_last([report("failed", "setup"), report(when="teardown")])


def test_the_last_round_tells_of_all() -> None:
    done = [one_round(report()), one_round(report()), one_round(expected())]
    sum_up(done, [SOMETIMES])

    remark = (REMARK, "showed in 1 of 3 rounds: It loses.")
    assert done[-1][1].user_properties == [*[(GUEST, "restored")] * 3, remark]


def test_a_failure_that_is_none_of_the_bugs_is_not_counted_as_it() -> None:
    done = [one_round(report()), one_round(report("failed"))]
    sum_up(done, [SOMETIMES])

    assert (REMARK, "showed in 0 of 2 rounds: It loses.") in done[-1][1].user_properties


def test_pytest_repeats_what_passes_until_the_bug_shows_and_anything_else_is_red_at_once(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_rounds.py").write_text(TESTS)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]

    ended = run(command, timeout=60, environment={**kept, "PYTHONPATH": str(ROOT)}, directory=tmp_path)

    assert "1 failed, 2 passed, 1 xfailed" in ended.output, ended.output
    assert ended.exit_status == 1
    for line in ("test_third: showed in 1 of 3", "test_other: showed in 0 of 2", "test_never: showed in 0 of 5"):
        assert f"chainproof: {line} rounds: It loses." in ended.output
    assert "test_elsewhere" not in ended.output
