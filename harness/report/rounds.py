"""A scenario that was repeated, for a bug that shows only sometimes: its last round's reports stand for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.report import tally
from harness.report.told import TOLD
from harness.verdict.known_bugs import KnownBug


class Report(Protocol):
    """What is needed of pytest's TestReport; one of an expected failure has `wasxfail`."""

    user_properties: list[tuple[str, object]]

    @property
    def when(self) -> str | None: ...  # noqa: D102
    @property
    def passed(self) -> bool: ...  # noqa: D102


def is_last(reports: Sequence[Report]) -> bool:
    """True unless all of a round passed: what fails, as the bug does or otherwise, is never repeated."""
    return not all(report.passed for report in reports)


def told(rounds: Sequence[Sequence[Report]], bugs: Sequence[KnownBug]) -> None:
    """Have the last round's reports tell how often each bug showed, and how the guests of all rounds came up."""
    report = next((report for report in rounds[-1] if report.when == "call"), rounds[-1][-1])
    earlier = [pair for reports in rounds[:-1] for each in reports for pair in each.user_properties]
    report.user_properties += [(name, value) for name, value in earlier if name == tally.PROPERTY]
    for bug in bugs:
        showed = int(bug.sentence in getattr(report, "wasxfail", ""))
        report.user_properties.append((TOLD, f"showed in {showed} of {len(rounds)} rounds: {bug.sentence}"))
