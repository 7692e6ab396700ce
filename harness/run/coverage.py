"""What a run has covered of libvirt's API and of QEMU's (--coverage); what is not, and has no reason, fails it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from harness.journal import DONE
from harness.report.offered import BadReasons, Covered, Used, offered, reasons
from harness.run import properties
from harness.run.ending import Status
from harness.run.judging import is_judged, trials
from harness.stack import qmp
from harness.trial.trial import Trial

_USED = "used"
"""The property with what a scenario has used, as JSON."""
_QMP = "QMP {}"
_known = pytest.StashKey[dict[str, list[str]]]()


def add_options(parser: pytest.Parser) -> None:
    """Whether to count."""
    group = parser.getgroup("chainproof exploring", "chainproof: what is explored")
    group.addoption("--start-again", action="store_true", help="start each VM from its definition after its scenario")
    group.addoption("--wrong-images", action="store_true", help="have wrong images noticed after each scenario")
    group.addoption("--coverage", action="store_true", help="count what of libvirt's API the scenarios have covered")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put into the report what a scenario that held has used."""
    report = yield
    if item.config.option.coverage and call.when == "call" and report.passed and is_judged(item):
        report.user_properties.append((_USED, json.dumps(_used(item, item.stash[trials]))))
    return report


def _used(item: pytest.Item, trial: Trial) -> Mapping[str, object]:
    entries = trial.journal.entries
    used = Used.of(entries)
    done = [str(entry.act["act"]) for entry in entries if entry.act and entry.outcome == DONE]
    pairs = [f"{one} > {other}" for one, other in pairwise(done)]
    known = item.config.stash.setdefault(_known, {})
    stack = trial.daemon.stack.name
    if stack not in known:
        known[stack] = sorted(qmp.known(trial.daemon))
    return {
        "verified": sorted(used.verified),
        "refused": sorted(used.refused),
        "acts": done,
        "pairs": pairs,
        "sent": sorted(qmp.sent(trial.daemon, trial.daemon_log_start)),
        "known": known[stack],
    }


@dataclass
class _Tally:
    """What the scenarios on a stack have used, and what they cost."""

    used: Used = field(default_factory=Used)
    acts: set[str] = field(default_factory=set)
    pairs: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    stories: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    rows: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, read: Mapping[str, list[str]]) -> None:
        """Count what a scenario has used."""
        self.used |= Used(frozenset(read["verified"]), frozenset(read["refused"]))
        for mine, its in (
            (self.acts, "acts"),
            (self.pairs, "pairs"),
            (self.sent, "sent"),
            (self.known, "known"),
        ):
            mine.update(read[its])

    def count(self, report: pytest.TestReport) -> None:
        """Count a scenario that came to a verdict, under its directory."""
        family = report.nodeid.split("/")[1]
        self.stories[family].add(report.nodeid.partition("[")[0])
        self.rows[family] += 1
        self.seconds[family] += report.duration


class CoverageReport:
    """Prints it for each of the `stacks` of the run, but not where only the procedure ran; `settle` is told of gaps."""

    def __init__(self, settle: Callable[[Status, str], None], stacks: Collection[str]) -> None:
        self._settle = settle
        self._stacks = stacks
        self._tallies: dict[str, _Tally] = defaultdict(_Tally)
        self._covered: dict[str, Covered] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a scenario has used, and what it cost."""
        stack = properties.value(report, properties.STACK)
        if (
            stack is None
            or stack not in self._stacks
            or report.when != "call"
            or not report.nodeid.startswith("scenarios/")
        ):
            return
        tally = self._tallies[stack]
        tally.count(report)
        for text in properties.values(report, _USED):
            tally.add(json.loads(text))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Tell of gaps before the exit status is settled."""
        self._covered = dict(self._held_against_what_is_offered())
        for stack, covered in self._covered.items():
            if covered.gaps:
                self._settle(Status.FAILED, f"{stack}: nothing covers, or explains, {', '.join(covered.gaps)}")
            if covered.stale:
                self._settle(Status.FAILED, f"{stack}: reasons that are needed no more: {', '.join(covered.stale)}")

    def _held_against_what_is_offered(self) -> Iterator[tuple[str, Covered]]:
        try:
            known = reasons()
        except BadReasons as error:
            self._settle(Status.UNUSABLE, str(error))
            known = {}
        for stack, tally in self._tallies.items():
            commands, sent = (frozenset(map(_QMP.format, names)) for names in (tally.known, tally.sent))
            used = tally.used | Used(verified=sent)
            yield stack, Covered(offered() | commands, used, known)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print it."""
        for stack, covered in self._covered.items():
            tally = self._tallies[stack]
            terminalreporter.section(f"coverage of {stack}")
            for line in (*_uses(covered), *_cost(tally)):
                terminalreporter.write_line(line)


def _uses(covered: Covered) -> Iterator[str]:
    verified, explained = covered.verified, covered.explained
    yield (
        f"{len(verified)} of {len(covered.offered)} functions, flags and QMP commands about disks were used, and "
        f"content verified after them; {len(explained)} have a reason, {len(covered.gaps)} have none"
    )
    yield from (f"  verified  {item}" for item in verified)
    refused = covered.used.refused
    yield from (f"  {'refused' if item in refused else '-':9} {item}: {why}" for item, why in explained.items())
    yield from (f"  GAP       {item}" for item in covered.gaps)


def _cost(tally: _Tally) -> Iterator[str]:
    yield f"{len(tally.acts)} kinds of act, {len(tally.pairs)} pairs of kinds followed one another"
    stories = sum(map(len, tally.stories.values()))
    rows, seconds = sum(tally.rows.values()), sum(tally.seconds.values())
    yield f"{stories} stories, {rows} rows of them, {seconds:.0f} s of workers' time:"
    for family, row in sorted(tally.rows.items()):
        told, spent = len(tally.stories[family]), tally.seconds[family]
        yield f"  {family:18} {told:4} stories {row:5} rows {spent:7.1f} s, {spent / row:.1f} s a row"
