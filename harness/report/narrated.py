"""A run that is told to a person from its first line to its verdict, in place of pytest's own report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from harness.journal import Journal

Say = Callable[[str], None]


class Report(Protocol):
    """What is needed of pytest's TestReport and CollectReport."""

    failed: bool
    longreprtext: str
    sections: list[tuple[str, str]]


class Told(Protocol):
    """What is needed of the scenario that was told."""

    @property
    def journal(self) -> Journal: ...  # noqa: D102


class NarratedRun:
    """A pytest plugin, by the names of pytest's hooks: says the verdict, and what failed, with `say`."""

    def __init__(self, say: Say, claim: str, platform: str) -> None:
        self._say = say
        self._claim = claim
        self._platform = platform
        self._failed = False
        self.told: Told | None = None

    def pytest_runtest_logreport(self, report: Report) -> None:
        """Print a phase of the scenario that failed."""
        self._print_failure(report)

    def pytest_collectreport(self, report: Report) -> None:
        """Print why the scenario could not be read."""
        self._print_failure(report)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Print the verdict, the run's last line."""
        if self._failed or exitstatus != 0 or self.told is None:
            self._say(f"\nNOT PROVED on {self._platform}: {self._claim}.")
            return
        self._say(f"\nPROVED on {self._platform}: {self._claim}, {timing(self.told.journal)}.")

    def _print_failure(self, report: Report) -> None:
        if not report.failed:
            return
        self._failed = True
        self._say(f"\n{report.longreprtext}")
        for title, text in report.sections:
            if title == "evidence":
                self._say(f"evidence: {text}")


def timing(journal: Journal) -> str:
    """The time that a scenario took, and how it is made up: what is neither boot nor verification is the acts."""
    total = journal.elapsed()
    parts = {"boot": journal.seconds.get("boot", 0.0), "verification": journal.seconds.get("verification", 0.0)}
    acts = total - sum(parts.values())
    return f"in {total:.1f} s (boot {parts['boot']:.1f}, acts {acts:.1f}, verification {parts['verification']:.1f})"
