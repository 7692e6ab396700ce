"""What a report's properties carry from the scenario, which may run in a worker, to those who tell of it."""

from __future__ import annotations

import pytest

from harness.verdict.finding import FINDINGS, Finding, read

STACK = "stack"
"""The stack that a scenario ran on."""
SCENARIO = "scenario"
"""Its id without the stack."""
NOT_OFFERED = "not offered"
"""What the stack does not offer, and since when libvirt does."""
UNUSABLE = "unusable"
"""Why the machine, or the stack, cannot be used."""
GUEST = "guest"
"""How a guest came up."""
NOT_MADE = "check not made"
"""A check that could not be made of a scenario, and why."""
POWER_LOSS = "power loss"
"""How many states a power loss may leave of it, by kind of act, too, and the seconds that took, as JSON."""
PROOFS = "proofs"
"""How many instants and bitmaps it has read as they were, as JSON."""
REMARK = "remark"
"""A line to print at the end: record_property(REMARK, "a line")."""


def values(report: pytest.TestReport, name: str) -> list[str]:
    """All values that a report has under a name, in order."""
    return [str(value) for known, value in report.user_properties if known == name]


def value(report: pytest.TestReport, name: str) -> str | None:
    """The first value that a report has under a name."""
    return next(iter(values(report, name)), None)


def findings(report: pytest.TestReport) -> tuple[Finding, ...]:
    """What was found wrong."""
    return tuple(finding for text in values(report, FINDINGS) for finding in read(text))
