"""Scenarios that are run again, for a bug that shows only sometimes: the last round's reports stand for all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.run import properties
from harness.run.judging import bugs
from harness.verdict.known_bug import ROUNDS, KnownBug
from harness.verdict.known_bugs import KNOWN_BUGS, repeated_for

Reports = list[pytest.TestReport]


class Repetition:
    """A plugin: repeats what passes though the stack has a bug of `table` that shows only sometimes, until it shows."""

    def __init__(self, table: Sequence[KnownBug] = KNOWN_BUGS) -> None:
        self._table = table

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a scenario that may meet such a bug, in rounds."""
        if not repeated_for(item.nodeid, self._table):
            return None
        runner = item.config.pluginmanager.get_plugin("runner")  # pytest's own, which runs a scenario's phases
        assert runner is not None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        done: list[Reports] = []
        met: Sequence[KnownBug] = []
        while not done or (met and len(done) < ROUNDS and not is_last(done[-1])):
            done.append(runner.runtestprotocol(item, log=False, nextitem=nextitem))
            known: Sequence[KnownBug] = item.stash.get(bugs, ())
            met = repeated_for(item.nodeid, known)
        sum_up(done, met)
        for report in done[-1]:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True


def is_last(reports: Sequence[pytest.TestReport]) -> bool:
    """True unless all of a round passed: what fails, as the bug does or otherwise, is never repeated."""
    return not all(report.passed for report in reports)


def sum_up(rounds: Sequence[Sequence[pytest.TestReport]], met: Sequence[KnownBug]) -> None:
    """Enter into the last round's reports how often each bug showed, and how the guests of all rounds came up."""
    report = next((report for report in rounds[-1] if report.when == "call"), rounds[-1][-1])
    earlier = [pair for reports in rounds[:-1] for each in reports for pair in each.user_properties]
    report.user_properties += [(name, value) for name, value in earlier if name == properties.GUEST]
    for bug in met:
        showed = int(bug.sentence in getattr(report, "wasxfail", ""))
        line = f"showed in {showed} of {len(rounds)} rounds: {bug.sentence}"
        report.user_properties.append((properties.REMARK, line))
