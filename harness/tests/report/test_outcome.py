from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from harness.report.outcome import settle
from harness.verdict.known_bugs import KnownBug

BUG = KnownBug("test_x", "lost", "QEMU", "1.0", None, "https://example.org/1", "It loses.", "shows on 1")


@dataclass
class Report:
    outcome: Literal["passed", "failed", "skipped"]
    wasxfail: str = ""


def test_a_failure_that_says_what_the_bug_shows_is_expected() -> None:
    report = Report("failed")

    assert settle(report, "cell 3 is lost", [BUG]) is None
    assert (report.outcome, report.wasxfail) == ("skipped", "known bug: It loses. https://example.org/1")


def test_a_failure_that_says_anything_else_stays_one() -> None:
    report = Report("failed")

    assert settle(report, "cell 3 is torn", [BUG]) is None
    assert report.outcome == "failed"


def test_a_pass_of_what_is_known_to_fail_is_a_failure_unless_the_bug_shows_only_sometimes() -> None:
    always, sometimes = Report("passed"), Report("passed")
    other = replace(BUG, sentence="It hangs.", sometimes="test_x")

    said = settle(always, "", [other, BUG])
    assert said == "passes, though this release is known for: It loses. https://example.org/1"
    assert always.outcome == "failed"
    assert settle(sometimes, "", [other]) is None
    assert sometimes.outcome == "passed"
