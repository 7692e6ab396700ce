"""Reports as pytest makes them, and what may be found in them."""

from __future__ import annotations

from typing import Literal, cast

import pytest

from harness.verdict.finding import Finding
from harness.verdict.known_bug import KnownBug

LOST = Finding("content", "vm1 vda", "every byte is kept", "cell 3 is lost")
BUG = KnownBug("test_x", "content", "lost", "QEMU", "1.0", None, "https://example.org/1", "It loses.", "shows on 1")


class Lines:
    """A terminal that keeps what is written."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def section(self, title: str) -> None:
        self.lines.append(title)

    def write_line(self, line: str) -> None:
        self.lines.append(line)


def report(
    outcome: str = "passed",
    when: Literal["setup", "call", "teardown"] = "call",
    *properties: tuple[str, object],
    nodeid: str = "test_x",
    longrepr: str | None = None,
) -> pytest.TestReport:
    """The report of a phase."""
    how = cast(Literal["passed", "failed", "skipped"], outcome)
    return pytest.TestReport(nodeid, ("x.py", 1, "x"), {}, how, longrepr, when, user_properties=list(properties))
