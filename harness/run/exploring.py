"""Exploring as a run of pytest: options, a parameter for each sequence and walker, and what is printed at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from harness.acts.act import Act
from harness.errors import Unusable
from harness.explore.explorer import Explorer, Outcome
from harness.explore.mortal import Deaths
from harness.explore.program import Program, read_program, states
from harness.explore.universe import Universe, possible
from harness.explore.walk import Walks
from harness.run import coverage, inputs, soaking, tiers
from harness.run.explored import EXPLORED, KNOWN, ExploredReport, plan
from harness.run.stacks import require_needs
from harness.stack.offers import NotOffered
from harness.trial.ground import Daemons, Ground, Platform
from harness.verdict.finding import ChecksFailed
from harness.waiting import now

SAVED = Path(__file__).resolve().parents[2] / "scenarios/explore/saved"
QUICK = frozenset({"suspend"})
"""The operations whose libvirtd is ended in every run."""
_began = pytest.StashKey[float]()
_explorer = pytest.StashKey[Explorer]()


def add_options(parser: pytest.Parser) -> None:
    """The options of what is explored."""
    add = parser.getgroup("chainproof exploring", "chainproof: what is explored").addoption
    soaking.add_options(parser)
    tiers.add_options(parser)
    coverage.add_options(parser)
    add("--exhaustive", type=inputs.count, default=1, metavar="N", help="every sequence of up to N acts (%(default)s)")
    add("--shard", type=shard, default=(1, 1), metavar="I/N", help="of the sequences the I-th N-th part only")
    add("--minutes", type=inputs.positive, metavar="M", help="how long it may go on (walks: a round)")
    add("--seed", type=int, default=1, metavar="S", help="where random walks begin (%(default)s)")
    add("--walkers", type=inputs.count, default=1, metavar="J", help="how many walk side by side (%(default)s)")
    add("--no-power-loss", action="store_true", help="explore without losing the power at every write")
    add("--deaths", action="store_true", help="end libvirtd at each moment of all operations")
    add("--program", type=Path, action="append", default=[], metavar="FILE", help="a saved program, repeatable")


def shard(text: str) -> tuple[int, int]:
    """The I and the N of "I/N". Raises ValueError unless 1 <= I <= N."""
    number, _, count = text.partition("/")
    if not 1 <= int(number) <= int(count):
        raise ValueError(f"{text} is no part of a whole: I/N, from 1/N to N/N")
    return int(number), int(count)


def pytest_configure(config: pytest.Config) -> None:
    """Note when the run began."""
    config.stash[_began] = now()
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(ExploredReport(config.option.exhaustive))


@pytest.hookimpl
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a parameter of each sequence, each walker, and each saved program."""
    option = metafunc.config.option
    if "sequence" in metafunc.fixturenames:
        number, count = option.shard
        sequences = plan(option.exhaustive).sequences
        numbers = range(number - 1, len(sequences), count)
        metafunc.parametrize("sequence", numbers, ids=[f"{n}-{_kinds(sequences[n])}" for n in numbers], indirect=True)
    if "walks" in metafunc.fixturenames:
        metafunc.parametrize("walks", range(option.walkers), indirect=True)
    if "saved" in metafunc.fixturenames:
        files = [*sorted(SAVED.glob("*.json")), *option.program]
        metafunc.parametrize("saved", files, ids=[file.stem for file in files], indirect=True)


def _kinds(acts: tuple[object, ...]) -> str:
    return "-".join(type(act).__name__ for act in acts)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give walks the time that they are to take; without --deaths, let libvirtd die in the QUICK operations only."""
    left_out = [] if config.option.deaths else [item for item in items if _takes_long(item)]
    if left_out:
        tiers.leave_out(config, items, left_out)
    for item in items:
        if "walks" in getattr(item, "fixturenames", ()):
            minutes = config.option.minutes or 0
            item.add_marker(pytest.mark.timeout(60 * minutes + 900))


def _takes_long(item: pytest.Item) -> bool:
    params = getattr(getattr(item, "callspec", None), "params", {})
    return "deaths" in getattr(item, "fixturenames", ()) and params.get("operation") not in QUICK


@pytest.fixture
def explorer(request: pytest.FixtureRequest, platform: Platform, daemons: Daemons, ground: Ground) -> Explorer:
    """What a scenario explores with; its report tells what that has covered."""
    made = Explorer(platform, daemons, ground.settings.evidence, power_loss=not request.config.option.no_power_loss)
    request.node.stash[_explorer] = made
    return made


@pytest.fixture
def deaths(request: pytest.FixtureRequest, platform: Platform, ground: Ground) -> Deaths:
    """What kills the daemon at each moment."""
    require_needs(request.node, platform.stack, ground.settings.work)
    return Deaths(platform, ground.settings.evidence / "deaths")


@pytest.fixture
def sequence(request: pytest.FixtureRequest) -> Program:
    """The sequence of a parameter; it is skipped when the run's minutes are over."""
    config = request.config
    if is_over(config):
        pytest.skip(f"the {config.option.minutes:g} minutes were over")
    return Program(Universe(), plan(config.option.exhaustive).sequences[request.param], killed=request.param % 2 == 1)


@pytest.fixture
def saved(request: pytest.FixtureRequest) -> Program:
    """The saved program of a parameter. Raises Unusable if the file has none."""
    file: Path = request.param
    try:
        return read_program(json.loads(file.read_text()))
    except (OSError, ValueError) as error:
        raise Unusable(f"{file} has no program: {error}", "pass a program.json from the evidence") from error


@pytest.fixture
def walks(request: pytest.FixtureRequest, explorer: Explorer) -> Walks:
    """The walks of a walker."""
    return Walks(explorer, request.config.option.seed + request.param * 1000)


def is_over(config: pytest.Config) -> bool:
    """Whether the run's minutes are over, if it has any."""
    minutes = config.option.minutes
    return minutes is not None and now() - config.stash[_began] > 60 * minutes


def hold(explorer: Explorer, program: Program, name: str) -> None:
    """Run a program. Raises ChecksFailed with all that there is to say if it is red, NotOffered, and xfails."""
    for number, (state, act) in enumerate(zip(states(program), program.acts, strict=False), 1):
        if act not in explorer.possible(state, number) and act in possible(state, number):
            raise NotOffered(f"{act} is not offered by {explorer.platform.stack}")
    outcome = explorer.run(program, keep=name)
    if outcome.is_red:
        raise_red([outcome])
    if outcome.known:
        bugs = (f"{bug.sentence} {bug.url or '(no upstream reference found)'}" for bug in outcome.known)
        pytest.xfail(f"known bug: {'; '.join(bugs)}")


def hold_deaths(deaths: Deaths, before: Sequence[Act], act: Act) -> None:
    """Have the daemon end at each moment of an act. Raises ChecksFailed with all that nobody knows, and xfails."""
    found = list(deaths.of(before, act))
    red = [death for death in found if death.findings and not death.known]
    if red:
        error = ChecksFailed("the next libvirtd goes on", [finding for death in red for finding in death.findings])
        for death in red:
            error.add_note(str(death))
        raise error
    assert found, "there was no moment when libvirtd wrote anything down"
    known = dict.fromkeys(bug.sentence for death in found for bug in death.known)
    if known:
        moments = sum(bool(death.known) for death in found)
        pytest.xfail(f"known bug, in {moments} of {len(found)} moments: {'; '.join(known)}")


def walk(walks: Walks, config: pytest.Config, note: pytest.Item | None = None) -> None:
    """Walk until the minutes are over; without any, a round, which is the same one each time.

    Raises ChecksFailed with all that was found and that nobody knows.
    """
    begun, minutes = now(), config.option.minutes
    found = walks.go(lambda: now() - begun > 60 * minutes) if minutes else walks.rounds(1)
    if note is not None:
        note.user_properties += [(KNOWN, sentence) for sentence in found.known.elements()]
    if found.red:
        raise_red(list(found.red.values()))


def raise_red(outcomes: list[Outcome]) -> NoReturn:
    """Raise ChecksFailed with the findings of outcomes, and the programs that led to them."""
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    error = ChecksFailed("after each act all is as the oracle says", findings)
    for outcome in outcomes:
        error.add_note(str(outcome))
    raise error


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Enter what was explored into the report."""
    try:
        yield
    finally:
        if _explorer in item.stash:
            item.user_properties.append((EXPLORED, item.stash[_explorer].coverage.as_json()))
            del item.stash[_explorer]
