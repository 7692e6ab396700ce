"""The verdict on a scenario: universal checks after it, known bugs, evidence, all in its report."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from functools import partial

import pytest

from harness.detect.blindness import require_sight
from harness.errors import Unusable
from harness.journal import Kind
from harness.run import properties
from harness.run.stacks import stack_and_scenario, stack_names
from harness.stack.offers import NotOffered
from harness.trial.nouns import Vm
from harness.trial.replay import replay
from harness.trial.trial import Trial
from harness.verdict.announced import require_announced
from harness.verdict.checks import verify_all
from harness.verdict.evidence import collect
from harness.verdict.explanation import explain
from harness.verdict.finding import FINDINGS, Finding, as_json, findings_of
from harness.verdict.known_bug import KnownBug, explanation
from harness.verdict.known_bugs import known_bugs
from harness.verdict.power_loss import PowerLoss, explore_power_loss
from harness.verdict.started_again import start_again
from harness.vm.domain import DomainFailed

trials = pytest.StashKey[Trial]()
"""The trial of a scenario that has one."""
bugs = pytest.StashKey[Sequence[KnownBug]]()
"""The known bugs that the scenario meets on its stack."""

not_made = pytest.StashKey[list[str]]()
"""The universal checks that could not be made of a scenario, and why."""
power_losses = pytest.StashKey[PowerLoss]()
"""What came of losing the power in it, if it was recorded."""


def judge(item: pytest.Item, trial: Trial) -> None:
    """Have a trial judged when its scenario is over."""
    item.stash[bugs] = known_bugs(item.nodeid, trial.daemon.stack)
    item.stash[trials] = trial


def first_vm(trial: Trial) -> Vm:
    """A VM that runs on one empty image. Raises Unusable if it does not start: the stack or the machine is at fault."""
    trial.create_base()
    try:
        return trial.define().bring_up()
    except DomainFailed as error:
        raise Unusable("no VM can be started", "see its last words", str(error)) from error


def is_judged(item: pytest.Item) -> bool:
    """Whether an item has a trial that the universal checks must find nothing wrong with."""
    return trials in item.stash and item.get_closest_marker("sabotaged") is None


def _is_replayed(item: pytest.Item) -> bool:
    """Whether it is to be done again: on the stacks of the run, not where only the procedure runs besides."""
    wanted: list[str] = item.config.option.replay
    if not any(item.nodeid.startswith(path.rstrip("/")) for path in wanted):
        return False
    place = stack_and_scenario(item)
    return place is not None and place[0] in stack_names(item.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let go of a trial when all has been said of it: pytest keeps every item until a run's end."""
    try:
        return (yield)
    finally:
        if trials in item.stash:
            del item.stash[trials]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Say what a failure before a scenario comes of."""
    try:
        yield
    except Exception as error:
        if trials in item.stash:
            explain(item.stash[trials], error)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Make the universal checks after a scenario, and do it again from its journal where that is wanted."""
    try:
        yield
        if is_judged(item):
            _judge(item)
    except Exception as error:
        if is_judged(item):
            explain(item.stash[trials], error)
        raise


def _judge(item: pytest.Item) -> None:
    trial = item.stash[trials]
    require_announced(trial)
    journal = trial.journal.as_json_lines()
    made = verify_all(trial, partial(_is_known, item))
    item.stash[not_made] = sorted({f"{check}: {why}" for (check, _), why in made.not_made.items()})
    _lose_power(item, trial)
    if item.config.option.start_again:
        item.stash[not_made] += [f"start again: {why_not}" for why_not in start_again(trial)]
    if item.config.option.wrong_images and trial.vms:
        why_not = require_sight(trial)
        item.stash[not_made] += [f"wrong images: {why_not}"] if why_not else []
    if trial.vms and _is_replayed(item):
        again = trial.another()
        item.addfinalizer(lambda: again.__exit__(None, None, None))  # not before the evidence of a failure is kept
        item.stash[trials] = again.__enter__()
        replay(journal, again)
        verify_all(again, partial(_is_known, item))


def _lose_power(item: pytest.Item, trial: Trial) -> None:
    """Explore what a power loss may leave of a scenario that was recorded."""
    if trial.recording is None:
        return
    found = explore_power_loss(trial)
    trial.journal.record(Kind.CHECK, str(found))
    item.stash[power_losses] = found
    item.stash[not_made] += sorted({f"power loss: {why}" for why in found.not_made.values()})
    found.check()


def _is_known(item: pytest.Item, finding: Finding) -> bool:
    """Whether a known bug explains a finding: then what else there is to find is looked for."""
    known: Sequence[KnownBug] = item.stash.get(bugs, ())
    return explanation((finding,), known) is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put into the report what those who print it need."""
    report = yield
    more = report.user_properties
    if report.when == "call" and is_judged(item):
        more += [(properties.GUEST, how) for how in item.stash[trials].machines.came_up]
        more.append((properties.PROOFS, json.dumps(item.stash[trials].readers.proofs.figures())))
        more += [(properties.NOT_MADE, line) for line in item.stash.get(not_made, [])]
        if power_losses in item.stash:
            found = item.stash[power_losses]
            figures = {"states": found.states, "seconds": found.seconds, "limits": found.limits, "acts": found.per_act}
            more.append((properties.POWER_LOSS, json.dumps(figures)))
    place = stack_and_scenario(item)
    if place is not None and "explorer" in getattr(item, "fixturenames", ()):  # no row of the table of stacks each
        more.append((properties.STACK, place[0]))
    elif place is not None:
        more += zip((properties.STACK, properties.SCENARIO), place, strict=True)
    error = None if call.excinfo is None else call.excinfo.value
    findings = () if error is None else findings_of(error)
    if findings and report.failed:
        more.append((FINDINGS, as_json(findings)))
    if call.when == "call":  # before the evidence, which is not wanted of a known bug, and hard to get of some
        report.longrepr = apply_known_bugs(report, findings, item.stash.get(bugs, [])) or report.longrepr
    if isinstance(error, NotOffered):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, str(error))
        more.append((properties.NOT_OFFERED, str(error)))
    elif isinstance(error, Unusable):
        report.longrepr = str(error)
        more.append((properties.UNUSABLE, str(error)))
    elif report.failed and trials in item.stash:
        report.sections.append(("evidence", _evidence(item, report)))
    return report


def _evidence(item: pytest.Item, report: pytest.TestReport) -> str:
    """Where the evidence of a failure is; a disk that is full by now must not hide the failure itself."""
    try:
        return str(collect(item.stash[trials], report.longreprtext, item.config.option.evidence.absolute()))
    except OSError as error:
        return f"not kept, or only in part: {error}"


def apply_known_bugs(report: pytest.TestReport, findings: Sequence[Finding], known: Sequence[KnownBug]) -> str | None:
    """Make a failure an expected one if known bugs explain all of its findings.

    A pass with a bug that always shows becomes a failure: returns what to print of it.
    """
    explained = explanation(findings, known)
    if report.outcome == "failed" and explained:
        bug = explained[0]
        report.outcome = "skipped"  # with `wasxfail` this is how pytest tells of an expected failure
        report.wasxfail = f"known bug: {bug.sentence} {bug.url or '(no upstream reference found)'}"
        return None
    always = [bug for bug in known if not bug.sometimes]
    if report.outcome == "passed" and always:
        report.outcome = "failed"
        return f"passes, though this release is known for: {always[0].sentence} {always[0].url}"
    return None


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """The category, letter and word of what a release does not offer."""
    if report.when == "setup" and properties.value(report, properties.NOT_OFFERED) is not None:
        return properties.NOT_OFFERED, "n", "NOT OFFERED"
    return None
