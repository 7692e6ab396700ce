"""What a scenario can come to besides pytest's own outcomes, told in a report's properties."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, Protocol

from harness.verdict.known_bugs import KnownBug

STACK = "stack"
NOT_OFFERED = "not offered"


class Report(Protocol):
    """What is needed of pytest's TestReport: `user_properties` also come from xdist's workers."""

    user_properties: list[tuple[str, object]]

    @property
    def when(self) -> str: ...  # noqa: D102


class Settled(Protocol):
    """What is needed of pytest's TestReport to make a failure an expected one."""

    outcome: Literal["passed", "failed", "skipped"]
    wasxfail: str


def status(report: Report) -> tuple[str, str, str] | None:
    """The category, letter and word of a report that is none of pytest's own."""
    if report.when == "setup" and any(name == NOT_OFFERED for name, _ in report.user_properties):
        return NOT_OFFERED, "n", "NOT OFFERED"
    return None


def settle(report: Settled, said: str, bugs: Sequence[KnownBug]) -> str | None:
    """Make a failure that says what a known bug shows an expected one, a pass with a bug that always shows a failure.

    Returns what is to be said of such a pass.
    """
    shown = [bug for bug in bugs if re.search(bug.shows, said)]
    if report.outcome == "failed" and shown:
        report.outcome = "skipped"  # with `wasxfail` this is how pytest tells of an expected failure
        report.wasxfail = f"known bug: {shown[0].sentence} {shown[0].url or '(no upstream reference found)'}"
        return None
    always = [bug for bug in bugs if not bug.sometimes]
    if report.outcome == "passed" and always:
        report.outcome = "failed"
        return f"passes, though this release is known for: {always[0].sentence} {always[0].url}"
    return None
