"""A machine that cannot be used ends the run: one clear line, exit status 2, no further scenario tried."""

from __future__ import annotations

from typing import Protocol

EXIT_STATUS = 2
PROPERTY = "unusable"


class Report(Protocol):
    """What is needed of pytest's TestReport: `user_properties` also come from xdist's workers."""

    user_properties: list[tuple[str, object]]


class Session(Protocol):
    """What is needed of pytest's Session."""

    exitstatus: int
    shouldstop: bool | str


class Terminal(Protocol):
    """What is needed of pytest's TerminalReporter."""

    def write_line(self, line: str, *, red: bool) -> None: ...  # noqa: D102


class StopWhenUnusable:
    """A pytest plugin, by the names of pytest's hooks; `scheduler` is xdist's, if it runs the scenarios.

    Where several stacks run side by side (`others_go_on`), one that cannot be used is told of, and the others go on.
    """

    def __init__(self, scheduler: Session | None, *, others_go_on: bool) -> None:
        self._scheduler = scheduler
        self._others_go_on = others_go_on
        self._session: Session | None = None
        self._problems: list[str] = []

    def pytest_sessionstart(self, session: Session) -> None:
        """Note whom to stop."""
        self._session = session

    def pytest_runtest_logreport(self, report: Report) -> None:
        """Stop at the first report that says so."""
        problems = [str(problem) for name, problem in report.user_properties if name == PROPERTY]
        if not problems:
            return
        self._problems += problems
        if self._others_go_on:
            return
        for running in (self._session, self._scheduler):
            if running is not None:
                running.shouldstop = "the machine cannot be used"

    def pytest_sessionfinish(self, session: Session) -> None:
        """Set the exit status."""
        if self._problems and not self._others_go_on:
            session.exitstatus = EXIT_STATUS

    def pytest_terminal_summary(self, terminalreporter: Terminal) -> None:
        """Say it once, in one line (its detail is in the report above)."""
        for problem in dict.fromkeys(problem.splitlines()[0] for problem in self._problems):
            terminalreporter.write_line(f"chainproof: {problem}", red=True)
