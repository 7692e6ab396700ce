"""How a run ended, as one exit status: every way out passes here, and none of them turns red into green."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

import pytest

from harness.errors import how_ended
from harness.process import ended_within

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

_TO_STOP = 0.5  # seconds that a worker has to end by itself when the run is interrupted


BROKEN = "chainproof_broken"
"""What a worker's output calls an error at its end, which xdist does not pass on."""


class Status(IntEnum):
    """The exit statuses of a run, from good to bad: the worst counts."""

    HELD = 0
    """Everything selected has a verdict, and held."""
    FAILED = 1
    """Something did not hold."""
    UNUSABLE = 2
    """The command line, the machine or a stack cannot be used, or nothing was selected: no verdict."""
    INTERNAL = 3
    """The harness itself failed: no verdict, whatever was printed before."""
    INTERRUPTED = 130
    """Ctrl-C: neither proved nor disproved. (143 and 129: SIGTERM and SIGHUP.)"""


_OF_PYTEST = {
    pytest.ExitCode.OK: Status.HELD,
    pytest.ExitCode.TESTS_FAILED: Status.FAILED,
    pytest.ExitCode.INTERRUPTED: Status.UNUSABLE,  # without a Ctrl-C: something could not be collected
    pytest.ExitCode.INTERNAL_ERROR: Status.INTERNAL,
    pytest.ExitCode.USAGE_ERROR: Status.UNUSABLE,
    pytest.ExitCode.NO_TESTS_COLLECTED: Status.UNUSABLE,
}


def of_pytest(status: int) -> int:
    """Our exit status for pytest's own; one that somebody else made up stays, unless it is 0."""
    return _OF_PYTEST.get(pytest.ExitCode(status), status) if status in list(pytest.ExitCode) else status


class Ending:
    """A plugin of the run (not of its workers): gathers what went wrong, and settles the exit status.

    `interrupted` returns the status of a signal that ended the run, else 0. Under xdist nobody else looks whether a
    worker had an internal error or died between two tests (pytest-xdist #1017), nor whether each test that was selected
    has come to a verdict.
    """

    def __init__(self, interrupted: Callable[[], int] = lambda: 0) -> None:
        self._interrupted = interrupted
        self._settled = 0
        self._lines: list[str] = []
        self._selected: set[str] = set()
        self._judged: set[str] = set()
        self._failed = False
        self._gone: dict[str, str] = {}  # workers that died, and how
        self._session: pytest.Session | None = None
        self.status: int | None = None

    def settle(self, status: Status, line: str = "") -> None:
        """The exit status is to be `status` at least; the line is printed at the end."""
        self._settled = max(self._settled, status)
        if line and line not in self._lines:
            self._lines.append(line)

    def stop(self, why: str) -> None:
        """End the run after the tests that are running now."""
        for running in (self._session, self._scheduler()):
            if running is not None:
                running.shouldstop = why

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Note whom to stop."""
        self._session = session

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what was selected; where workers collect, they say so below."""
        self._selected.update(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Note what a worker selected: all select the same."""
        self._selected.update(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a verdict: the last phase of a test has been reported, or its worker died in it."""
        self._failed = self._failed or report.failed
        if report.when not in ("setup", "call"):
            self._judged.add(report.nodeid)
        if report.when not in ("setup", "call", "teardown"):
            self._gone.pop(report.node.gateway.id, None)

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Nothing that this run reports can be trusted any more: it ends."""
        self.settle(Status.INTERNAL, f"internal error: {_last_line(excinfo)}")
        self.stop("internal error")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tests that cannot be read have no verdict; xdist takes them for tests that failed."""
        if report.failed:
            self.settle(Status.UNUSABLE)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """Note a worker that died; if it had a test, that fails by itself."""
        error = error or node.workeroutput.get(BROKEN)
        if error:
            self._gone[node.gateway.id] = str(error)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, report: pytest.TestReport) -> None:
        """Say how the worker ended that had a test: xdist does not."""
        process = report.node.gateway._io.popen
        if ended_within(process, 2):
            report.longrepr = f"{report.longrepr}: its process {how_ended(process.returncode)}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Settle the status before anybody prints it."""
        scheduler = self._scheduler()
        if self._interrupted() and scheduler is not None:
            # a worker is ended like by kill -9, which leaves nothing
            scheduler.nodemanager.group.terminate(timeout=_TO_STOP)
        if not session.config.option.collectonly:
            self._look_whether_all_were_judged(exitstatus)
        session.exitstatus = self.status = self._worst(exitstatus)

    def _look_whether_all_were_judged(self, exitstatus: int) -> None:
        for name, error in self._gone.items():
            self.settle(Status.INTERNAL, f"worker {name} ended: {error}")
        unjudged = sorted(self._selected - self._judged)
        if exitstatus == pytest.ExitCode.OK and unjudged:
            few = ", ".join(unjudged[:3])
            line = f"{len(unjudged)} of {len(self._selected)} selected tests have no verdict: {few}"
            self.settle(Status.INTERNAL, line)
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            self.settle(Status.UNUSABLE, "no test was selected")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print why the status is not pytest's own."""
        for line in self._lines:
            terminalreporter.write_line(f"chainproof: {line}", red=True)

    def final(self, returned: int) -> int:
        """The exit status of a process whose run returned `returned`."""
        if self.status is None:
            return self._worst(returned)
        return self.status if returned == self.status else max(self.status, of_pytest(returned))

    def _worst(self, exitstatus: int) -> int:
        status = of_pytest(exitstatus)
        if exitstatus == pytest.ExitCode.INTERRUPTED and self._failed:
            status = Status.FAILED  # --exitfirst, under xdist
        return self._interrupted() or max(status, self._settled)

    def _scheduler(self) -> DSession | None:
        if self._session is None:
            return None
        found: DSession | None = self._session.config.pluginmanager.get_plugin("dsession")
        return found


def _last_line(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    return next((line for line in reversed(str(excinfo.value).splitlines()) if line.strip()), excinfo.typename)


if TYPE_CHECKING:
    from xdist.dsession import DSession
