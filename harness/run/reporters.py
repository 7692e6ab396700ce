"""What a run prints besides pytest's own report: remarks, guests, the table of stacks, one that cannot be used."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from harness.report.matrix import Cell, Outcome, results, table
from harness.report.narration import timing
from harness.run import properties
from harness.run.ending import Ending, Status
from harness.run.procedures import claim_of
from harness.trial.trial import Trial
from harness.vm.warm import FELL_BACK


class Remarks:
    """Prints, at the end, the lines that scenarios recorded: a figure, how often a bug showed."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep those of a scenario that has run."""
        if report.when == "call":
            name = report.nodeid.rpartition("::")[2]
            self._lines += [f"chainproof: {name}: {line}" for line in properties.values(report, properties.REMARK)]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print them."""
        for line in self._lines:
            terminalreporter.write_line(line)


class ChecksNotMade:
    """Prints, at the end, which universal checks were not made, of how many scenarios, and why: none vanishes."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count those of a scenario that has run."""
        if report.when == "call":
            self._counts.update(properties.values(report, properties.NOT_MADE))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print a line for each."""
        for line, count in sorted(self._counts.items()):
            terminalreporter.write_line(f"chainproof: not made in {count} scenarios: {line}")


class PowerLossTally:
    """Counts what a power loss may leave of the scenarios of a run."""

    def __init__(self) -> None:
        self._scenarios = 0
        self._counts: Counter[str] = Counter()
        self._seconds = 0.0
        self._acts: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count those of a scenario that has run."""
        for text in properties.values(report, properties.POWER_LOSS) if report.when == "call" else ():
            figures = json.loads(text)
            self._scenarios += 1
            self._seconds += figures["seconds"]
            self._counts.update({name: figures[name] for name in ("states", "limits")})
            self._acts.update(figures["acts"])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the counts: all in one line, and those by kind of act in another."""
        if self._scenarios:
            states = self._counts["states"]
            rate = states / self._seconds if self._seconds else 0
            line = f"power loss: {states} states of {self._scenarios} scenarios, {rate:.0f} a second"
            limits = f"{self._counts['limits']} red by a documented limit alone"
            terminalreporter.write_line(f"chainproof: {line}, {limits}")
            acts = ", ".join(f"{name} {count}" for name, count in self._acts.most_common())
            terminalreporter.write_line(f"chainproof: power loss by act: {acts}")


class ProofTally:
    """Counts the points in time that the scenarios of a run have proved: instants of disks, and bitmaps."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count those of a scenario that has run."""
        for text in properties.values(report, properties.PROOFS) if report.when == "call" else ():
            self._counts.update(json.loads(text))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the counts in one line."""
        if self._counts["instants"]:
            size = self._counts["bytes"] / (1 << 20)
            line = f"points in time: {self._counts['instants']} instants of disks ({size:.0f} MiB) are what they were; "
            line += f"{self._counts['bitmaps']} bitmaps are exact, in {self._counts['granules']} granules"
            terminalreporter.write_line(f"chainproof: {line}")


class GuestTally:
    """Counts how the guests of a run came up: restored, booted, or booted since a restore failed (printed in red)."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count those of a scenario that has run."""
        if report.when == "call":
            self._counts.update(properties.values(report, properties.GUEST))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the counts in one line."""
        if self._counts:
            counts = ", ".join(f"{count} {how}" for how, count in sorted(self._counts.items()))
            terminalreporter.write_line(f"chainproof: guests: {counts}", red=FELL_BACK in self._counts)


class StopWhenUnusable:
    """Ends the run at the first scenario that finds the machine unusable: one clear line, exit status 2.

    Where several stacks run side by side (`others_go_on`), the run prints which one cannot be used, and the others go
    on.
    """

    def __init__(self, ending: Ending, *, others_go_on: bool) -> None:
        self._ending = ending
        self._others_go_on = others_go_on
        self._problems: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Stop at the first report that says so."""
        problems = properties.values(report, properties.UNUSABLE)
        self._problems += problems
        if problems and not self._others_go_on:
            self._ending.settle(Status.UNUSABLE)
            self._ending.stop("the machine cannot be used")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print it once, in one line (its detail is in the report above)."""
        for problem in dict.fromkeys(problem.splitlines()[0] for problem in self._problems):
            terminalreporter.write_line(f"chainproof: {problem}", red=True)


class MatrixReporter:
    """Prints scenario by stack, if there is more than one stack; results go to the file `saved` too, if it is given.

    `stacks` are names with descriptions.
    """

    def __init__(self, stacks: Mapping[str, str], saved: Path | None, ending: Ending) -> None:
        self._ending = ending
        self._stacks = stacks
        self._saved = saved
        self._cells: dict[str, dict[str, Cell]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Enter a phase of a scenario: the worst counts, but nothing later takes the place of the first failure."""
        stack, scenario = (properties.value(report, name) for name in (properties.STACK, properties.SCENARIO))
        if stack is None or scenario is None:
            return
        row = self._cells.setdefault(scenario, {})
        row[stack] = row.get(stack, Cell(Outcome.PASS)).or_worse(cell_of(report))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Save the results."""
        if self._saved is None:
            return
        try:
            self._saved.parent.mkdir(parents=True, exist_ok=True)
            self._saved.write_text(json.dumps(results(self._stacks, self._cells), indent=1) + "\n")
        except OSError as error:
            self._ending.settle(Status.INTERNAL, f"the results are not saved: {error}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        if self._cells and len(self._stacks) > 1:
            terminalreporter.section("scenario x stack")
            for line in table(self._stacks, self._cells):
                terminalreporter.write_line(line)


def cell_of(report: pytest.TestReport) -> Cell:
    """What a phase of a scenario came to, with its findings, and a line about it."""
    not_offered = properties.value(report, properties.NOT_OFFERED)
    if not_offered is not None:
        return Cell(Outcome.NOT_OFFERED, not_offered)
    if report.outcome == "skipped":
        if hasattr(report, "wasxfail"):
            return Cell(Outcome.KNOWN_BUG, str(report.wasxfail))
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longreprtext
        return Cell(Outcome.SKIPPED, str(reason).removeprefix("Skipped: "))
    if report.outcome == "failed":
        findings = properties.findings(report)
        # a teardown's error, a worker's end: pytest's own words
        line = findings[0].line() if findings else _last_line(report.longreprtext)
        return Cell(Outcome.FAIL if report.when == "call" else Outcome.ERROR, line, findings)
    return Cell(Outcome.PASS)


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.strip().splitlines()) if line.strip()), "")


class NarratedRun:
    """Prints, in place of pytest's own report, what failed and the verdict, with `say`."""

    def __init__(self, say: Callable[[str], None], platform: str) -> None:
        self._say = say
        self._platform = platform
        self.trial: Trial | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print a phase of the scenario that failed."""
        self._print_failure(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Print why the scenario could not be read."""
        self._print_failure(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Print the verdict, the run's last line."""
        item = next(iter(getattr(session, "items", ())), None)
        claim = claim_of(item.path.name, item.name) if item is not None else "the procedure holds"
        if session.exitstatus == Status.HELD and self.trial is not None:
            self._say(f"\nPROVED on {self._platform}: {claim}, {timing(self.trial.journal)}.")
        elif session.exitstatus == Status.FAILED:
            self._say(f"\nNOT PROVED on {self._platform}: {claim}.")
        else:
            why = "the run was interrupted" if session.exitstatus > Status.INTERNAL else "the run broke off"
            self._say(f"\nNO VERDICT on {self._platform}: {why}, so it is open whether {claim}.")

    def _print_failure(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.failed:
            return
        self._say(f"\n{report.longreprtext}")
        for title, text in report.sections:
            if title == "evidence":
                self._say(f"evidence: {text}")


def past_capturing(config: pytest.Config) -> Callable[[str], None]:
    """Prints past pytest's capturing."""
    capture = config.pluginmanager.get_plugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            print(text, flush=True)

    return say
