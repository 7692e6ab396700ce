"""What scenarios have to say besides whether they passed: a figure, how often a bug showed; a line each, at the end."""

from __future__ import annotations

from typing import Protocol

TOLD = "told"  # the name under which a scenario records it: record_property(TOLD, "a line")


class Report(Protocol):
    """What is needed of pytest's TestReport: `user_properties` also come from xdist's workers."""

    nodeid: str
    when: str
    user_properties: list[tuple[str, object]]


class Terminal(Protocol):
    """What is needed of pytest's TerminalReporter."""

    def write_line(self, line: str) -> None: ...  # noqa: D102


class ToldLines:
    """A pytest plugin, by the names of pytest's hooks."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def pytest_runtest_logreport(self, report: Report) -> None:
        """Keep what a scenario that has run has said."""
        if report.when == "call":
            name = report.nodeid.rpartition("::")[2]
            self._lines += [f"chainproof: {name}: {line}" for said, line in report.user_properties if said == TOLD]

    def pytest_terminal_summary(self, terminalreporter: Terminal) -> None:
        """Say it."""
        for line in self._lines:
            terminalreporter.write_line(line)
