"""What a run prints of what it has explored."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache

import pytest

from harness.explore.coverage import Coverage, named, summed
from harness.explore.plan import Plan, planned
from harness.explore.universe import Universe, possible, started
from harness.run import properties

EXPLORED = "explored"
"""The property with the coverage of what an item has explored, as JSON."""
KNOWN = "explored, known bug"
"""One with the sentence of a known bug that a program has met."""


@cache
def plan(length: int) -> Plan:
    """Every sequence of up to `length` acts."""
    return planned(started(Universe()), length, possible)


class ExploredReport:
    """Prints what was explored, for each stack; sequences had up to `length` acts."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._texts: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._known: dict[str, Counter[str]] = defaultdict(Counter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what an item has explored."""
        texts = properties.values(report, EXPLORED)
        if report.when != "call" or not texts:
            return
        stack = properties.value(report, properties.STACK) or ""
        self._texts[stack, report.nodeid.partition("[")[0].rpartition("/")[2]] += texts
        self._known[stack].update(properties.values(report, KNOWN))
        if hasattr(report, "wasxfail"):
            self._known[stack][str(report.wasxfail).removeprefix("reason: ")] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print it."""
        if self._texts:
            terminalreporter.section("explored")
        for (stack, test), texts in self._texts.items():
            coverage = summed(texts)
            name = test.partition(".")[0].removeprefix("test_")
            terminalreporter.write_line(f"{stack}: {name}: {self._line(test, coverage)}")
        for stack, known in self._known.items():
            for sentence, count in known.most_common():
                terminalreporter.write_line(f"{stack}: {count} times {sentence}")

    def _line(self, test: str, coverage: Coverage) -> str:
        speed = coverage.steps / coverage.seconds if coverage.seconds else 0.0
        words = f"{coverage.programs} programs, {coverage.steps} verified steps"
        words += f", {speed:.1f} a second of a worker's time"
        if coverage.states:
            rate = coverage.states / max(coverage.state_seconds, 1e-9)
            words += f"; {coverage.states} states after a power loss, {rate:.0f} a second"
        if "sequences" in test:
            every = plan(self._length)
            crossed = len(coverage.transitions & {named(each) for each in every.transitions})
            words += f", of {len(every.sequences)} sequences; {crossed} of {len(every.transitions)} transitions"
        else:
            kinds, pairs = len(coverage.acts), len(coverage.pairs)
            words += f"; {kinds} kinds of act, {pairs} pairs of kinds, {len(coverage.transitions)} transitions"
        return words
