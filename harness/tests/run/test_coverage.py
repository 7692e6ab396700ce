"""What a run has covered settles its exit status."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from harness.report.offered import offered
from harness.run import coverage, properties
from harness.run.coverage import CoverageReport
from harness.run.ending import Status
from harness.tests.run.reports import Lines, report

EVERYTHING = sorted(offered())


def _told(
    monkeypatch: pytest.MonkeyPatch, verified: Sequence[str], known: dict[str, str], sent: Sequence[str] = ()
) -> tuple[list[tuple[Status, str]], list[str]]:
    """What the exit status is settled to, and what is printed, if this was used, with two commands of QMP."""
    settled: list[tuple[Status, str]] = []
    monkeypatch.setattr(coverage, "reasons", lambda: known)
    plugin = CoverageReport(lambda status, line: settled.append((status, line)), ["host"])
    used = {"verified": verified, "refused": [], "acts": ["A", "B"], "pairs": ["A > B"]}
    used |= {"sent": list(sent), "known": ["block-commit", "drive-mirror"]}
    where = (properties.STACK, "host"), ("used", json.dumps(used))
    plugin.pytest_runtest_logreport(report("passed", "call", *where, nodeid="scenarios/commit/test_x.py::test_y[a]"))
    elsewhere = (properties.STACK, "debian:sid"), ("used", json.dumps({**used, "verified": []}))
    plugin.pytest_runtest_logreport(
        report("passed", "call", *elsewhere, nodeid="scenarios/procedure/test_x.py::test_z")
    )
    plugin.pytest_sessionfinish()
    lines = Lines()
    plugin.pytest_terminal_summary(lines)  # type: ignore[arg-type]
    return settled, lines.lines


def test_all_that_is_covered_or_explained_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    settled, lines = _told(monkeypatch, EVERYTHING, {"QMP drive-*": "it is old"}, ["block-commit"])

    assert settled == []
    assert "  -         QMP drive-mirror: it is old" in lines
    assert "1 stories, 1 rows of them, 0 s of workers' time:" in lines


def test_a_gap_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    settled, lines = _told(monkeypatch, EVERYTHING[1:], {"QMP *": "none is sent"})

    assert settled == [(Status.FAILED, f"host: nothing covers, or explains, {EVERYTHING[0]}")]
    assert f"  GAP       {EVERYTHING[0]}" in lines


def test_a_reason_that_nothing_needs_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    settled, _ = _told(monkeypatch, EVERYTHING, {"QMP *": "none is sent", EVERYTHING[0]: "later"})

    assert settled == [(Status.FAILED, f"host: reasons that are needed no more: {EVERYTHING[0]}")]
