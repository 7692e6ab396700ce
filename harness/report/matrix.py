"""Scenario by stack: what each scenario came to on each stack, as a table and as saved results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from harness.report.observation import first_observation
from harness.report.outcome import NOT_OFFERED, STACK


class Outcome(StrEnum):
    """What a scenario came to on a stack, from best to worst; the value is its letter in the table."""

    PASS = "."
    NOT_OFFERED = "n"
    SKIPPED = "s"
    KNOWN_BUG = "x"
    FAIL = "F"
    ERROR = "E"

    @property
    def words(self) -> str:
        """The name for people and for saved results."""
        return self.name.lower().replace("_", " ")


class Report(Protocol):
    """What is needed of pytest's TestReport."""

    nodeid: str
    when: str
    outcome: str
    longrepr: object
    longreprtext: str
    user_properties: list[tuple[str, object]]


class Terminal(Protocol):
    """What is needed of pytest's TerminalReporter."""

    def section(self, title: str) -> None: ...  # noqa: D102
    def write_line(self, line: str) -> None: ...  # noqa: D102


class Matrix:
    """A pytest plugin, by the names of pytest's hooks: prints the table if there is more than one stack.

    `stacks` are names with what is said of them; results go to the file `saved` too, if it is given.
    """

    def __init__(self, stacks: Mapping[str, str], saved: Path | None) -> None:
        self._stacks = stacks
        self._saved = saved
        self._cells: dict[str, dict[str, tuple[Outcome, str]]] = {}

    def pytest_runtest_logreport(self, report: Report) -> None:
        """Enter a phase of a scenario: the worst counts, but nothing later takes the place of the first failure."""
        stack = next((str(value) for name, value in report.user_properties if name == STACK), None)
        if stack is None:
            return
        row = self._cells.setdefault(_without(report.nodeid, stack), {})
        new = _outcome(report)
        old = row.get(stack, (Outcome.PASS, ""))
        order = list(Outcome)
        if old[0] not in (Outcome.FAIL, Outcome.ERROR) and order.index(new) >= order.index(old[0]):
            row[stack] = (new, _said(report, new) or old[1])

    def pytest_sessionfinish(self) -> None:
        """Save the results."""
        if self._saved is not None:
            cells = {
                scenario: {stack: {"outcome": outcome.words, "said": said} for stack, (outcome, said) in row.items()}
                for scenario, row in sorted(self._cells.items())
            }
            self._saved.write_text(json.dumps({"stacks": dict(self._stacks), "scenarios": cells}, indent=1) + "\n")

    def pytest_terminal_summary(self, terminalreporter: Terminal) -> None:
        """Print the table."""
        if self._cells and len(self._stacks) > 1:
            terminalreporter.section("scenario x stack")
            outcomes = {name: {stack: cell[0] for stack, cell in row.items()} for name, row in self._cells.items()}
            for line in table(self._stacks, outcomes):
                terminalreporter.write_line(line)


def table(stacks: Mapping[str, str], outcomes: Mapping[str, Mapping[str, Outcome]]) -> list[str]:
    """The lines of the table: a column per stack, a letter per scenario and stack."""
    numbers = [f"{number:>3}" for number in range(1, len(stacks) + 1)]
    lines = [f"{number}  {said}" for number, said in zip(numbers, stacks.values(), strict=True)]
    letters = ", ".join(f"{outcome.value} {outcome.words}" for outcome in Outcome)
    lines += [f"     ({letters}; blank: not run)", "", "".join(numbers)]
    for scenario, row in sorted(outcomes.items()):
        lines.append("".join(f"{row[stack].value if stack in row else '':>3}" for stack in stacks) + f"  {scenario}")
    lines.append("".join(f"{_counted(outcomes.values(), stack):>3}" for stack in stacks) + "  passed")
    return lines


def _counted(rows: Iterable[Mapping[str, Outcome]], stack: str) -> int:
    return sum(row.get(stack) is Outcome.PASS for row in rows)


def _outcome(report: Report) -> Outcome:
    if any(name == NOT_OFFERED for name, _ in report.user_properties):
        return Outcome.NOT_OFFERED
    if report.outcome == "skipped":
        return Outcome.KNOWN_BUG if hasattr(report, "wasxfail") else Outcome.SKIPPED
    if report.outcome == "failed":
        return Outcome.FAIL if report.when == "call" else Outcome.ERROR
    return Outcome.PASS


def _said(report: Report, outcome: Outcome) -> str:
    """What there is to say of an outcome, in a line."""
    if outcome is Outcome.PASS:
        return ""
    if outcome is Outcome.KNOWN_BUG:
        return str(getattr(report, "wasxfail", ""))
    if outcome is Outcome.NOT_OFFERED:
        return next(str(value) for name, value in report.user_properties if name == NOT_OFFERED)
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return str(report.longrepr[-1]).removeprefix("Skipped: ")
    return first_observation(report.longreprtext)


def _without(nodeid: str, stack: str) -> str:
    """A scenario's id without the stack that it ran on."""
    for part in (f"[{stack}]", f"-{stack}", f"{stack}-"):
        if part in nodeid:
            return nodeid.replace(part, "")
    return nodeid
