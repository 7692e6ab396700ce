"""How the guests of a run came up: restored, booted, or booted since a restore failed (which is said in red)."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from harness.vm.warm import FELL_BACK

PROPERTY = "guest"


class Report(Protocol):
    """What is needed of pytest's TestReport: `user_properties` also come from xdist's workers."""

    when: str
    user_properties: list[tuple[str, object]]


class Terminal(Protocol):
    """What is needed of pytest's TerminalReporter."""

    def write_line(self, line: str, *, red: bool) -> None: ...  # noqa: D102


class GuestTally:
    """A pytest plugin, by the names of pytest's hooks."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: Report) -> None:
        """Count the guests of a scenario that has run."""
        if report.when == "call":
            self._counts.update(str(how) for name, how in report.user_properties if name == PROPERTY)

    def pytest_terminal_summary(self, terminalreporter: Terminal) -> None:
        """Say the counts in one line."""
        if self._counts:
            said = ", ".join(f"{count} {how}" for how, count in sorted(self._counts.items()))
            terminalreporter.write_line(f"chainproof: guests: {said}", red=FELL_BACK in self._counts)
