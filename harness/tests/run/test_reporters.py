"""What a run prints and saves of reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest

from harness.report.compare import read
from harness.run import properties
from harness.run.ending import Ending
from harness.run.reporters import ChecksNotMade, MatrixReporter, cell_of
from harness.tests.run.reports import LOST, Lines, report
from harness.verdict.finding import FINDINGS, as_json

Phase = Literal["setup", "call", "teardown"]


def test_each_scenario_has_its_worst_outcome_on_each_stack(tmp_path: Path) -> None:
    matrix = MatrixReporter({"host": "libvirt 9", "debian:sid": "libvirt 12"}, tmp_path / "results.json", Ending())

    def enter(scenario: str, stack: str, when: Phase, outcome: str, *more: tuple[str, object]) -> None:
        place = ((properties.STACK, stack), (properties.SCENARIO, scenario))
        matrix.pytest_runtest_logreport(report(outcome, when, *place, *more, longrepr="x.py:1\nE   no daemon"))

    phases: tuple[Phase, ...] = ("setup", "call", "teardown")
    for when in phases:
        enter("test_a", "host", when, "passed")
    enter("test_a", "debian:sid", "setup", "passed")
    enter("test_a", "debian:sid", "call", "failed", (FINDINGS, as_json([LOST])))
    enter("test_a", "debian:sid", "teardown", "failed")
    enter("test_c", "host", "call", "passed")
    enter("test_c", "host", "teardown", "failed")
    enter("test_b[sn1]", "host", "setup", "skipped", (properties.NOT_OFFERED, "only since 10"))
    enter("test_b[sn1]", "debian:sid", "setup", "failed")

    terminal = Lines()
    matrix.pytest_terminal_summary(terminal)  # type: ignore[arg-type]
    assert "  .  F  test_a" in terminal.lines
    assert "  n  E  test_b[sn1]" in terminal.lines
    assert "  E     test_c" in terminal.lines
    matrix.pytest_sessionfinish()
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["scenarios"]["test_b[sn1]"]["debian:sid"]["line"] == "E   no daemon"
    assert saved["scenarios"]["test_b[sn1]"]["host"]["line"] == "only since 10"
    (finding,) = read(f"{tmp_path / 'results.json'}:debian:sid").cells["test_a"].findings
    assert finding == LOST


def test_a_skip_says_why() -> None:
    skipped = report("skipped", "setup")
    skipped.longrepr = ("x.py", 1, "Skipped: KVM works on this machine")

    assert cell_of(skipped).line == "KVM works on this machine"


def test_a_failure_without_findings_is_told_in_pytests_own_words() -> None:
    assert cell_of(report("failed", longrepr="worker 'gw0' crashed while running x")).line.endswith("running x")


@pytest.mark.parametrize("name", ["stack", "scenario"])
def test_what_runs_on_no_stack_is_in_no_table(name: str) -> None:
    matrix = MatrixReporter({"host": "libvirt 9", "debian:sid": "libvirt 12"}, None, Ending())
    matrix.pytest_runtest_logreport(report("failed", "call", (name, "host")))

    terminal = Lines()
    matrix.pytest_terminal_summary(terminal)  # type: ignore[arg-type]
    assert terminal.lines == []


def test_checks_that_were_not_made_are_told_with_the_reason() -> None:
    reporter = ChecksNotMade()
    for _ in range(2):
        reporter.pytest_runtest_logreport(report("passed", "call", (properties.NOT_MADE, "images clean: raw has none")))

    terminal = Lines()
    reporter.pytest_terminal_summary(terminal)  # type: ignore[arg-type]
    assert terminal.lines == ["chainproof: not made in 2 scenarios: images clean: raw has none"]
