"""A failure is an expected one if known bugs explain all that was found; a pass of what must fail is a failure."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.detect.inner_run import ROOT
from harness.process import run
from harness.run.judging import apply_known_bugs
from harness.tests.run.reports import BUG, LOST, report


def test_a_failure_that_shows_what_the_bug_does_is_expected() -> None:
    failed = report("failed")

    assert apply_known_bugs(failed, [LOST], [BUG]) is None
    assert (failed.outcome, failed.wasxfail) == ("skipped", "known bug: It loses. https://example.org/1")


def test_a_failure_with_one_more_finding_stays_one() -> None:
    failed = report("failed")

    assert apply_known_bugs(failed, [LOST, replace(LOST, seen="cell 3 is torn")], [BUG]) is None
    assert failed.outcome == "failed"
    assert apply_known_bugs(failed, [], [BUG]) is None
    assert failed.outcome == "failed"


def test_a_pass_of_what_is_known_to_fail_is_a_failure_unless_the_bug_shows_only_sometimes() -> None:
    always, sometimes = report("passed"), report("passed")
    other = replace(BUG, sentence="It hangs.", sometimes="test_x")

    words = apply_known_bugs(always, [], [other, BUG])
    assert words == "passes, though this release is known for: It loses. https://example.org/1"
    assert always.outcome == "failed"
    assert apply_known_bugs(sometimes, [], [other]) is None
    assert sometimes.outcome == "passed"


@pytest.mark.parametrize("outcome", ["skipped", "passed"])
def test_what_did_not_fail_is_no_expected_failure(outcome: str) -> None:
    other = report(outcome)

    apply_known_bugs(other, [LOST], [replace(BUG, sometimes="x")])
    assert other.outcome == outcome


KEPT = """
import gc
import weakref

import pytest

from harness.run.judging import trials


class Trial:
    pass


SEEN = []


@pytest.mark.sabotaged
def test_one_leaves_something_behind(request):
    request.node.stash[trials] = trial = Trial()
    SEEN.append(weakref.ref(trial))


def test_the_next_one():
    gc.collect()
    assert SEEN[0]() is None
"""


def test_what_a_scenario_was_judged_by_is_kept_no_longer_than_its_report(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["harness.run.judging"]\n')
    (tmp_path / "test_kept.py").write_text(KEPT)

    run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_kept.py"],
        timeout=60,
        directory=tmp_path,
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
    ).check()
