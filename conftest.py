"""pytest's options and fixtures: each hands a harness object to the scenarios."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol

from harness import settings as defaults
from harness.errors import Unusable
from harness.oracle.documented import LAYERS
from harness.process import dying_with_us, end_if_orphaned
from harness.report import outcome, rounds, tally
from harness.report.matrix import Matrix
from harness.report.narrated import NarratedRun
from harness.report.narration import Narrator
from harness.report.told import ToldLines
from harness.report.unusable import EXIT_STATUS, PROPERTY, StopWhenUnusable
from harness.settings import Settings
from harness.stack import acceleration as accelerations
from harness.stack import kinds
from harness.stack.acceleration import Acceleration
from harness.stack.daemon import GUEST, Daemon, Setup
from harness.stack.kinds import Kinds
from harness.stack.offers import OFFERS, NotOffered, require, require_upgrade
from harness.stack.run_directory import RunDirectory
from harness.stack.stack import Stack
from harness.trial.trial import Trial
from harness.verdict.checks import explain, verify_all
from harness.verdict.evidence import collect
from harness.verdict.known_bugs import ROUNDS, KnownBug, known_bugs, repeated_for
from harness.vm.domain import Domain, DomainFailed
from harness.vm.domain_xml import Machine
from harness.vm.guest import Guest
from harness.vm.images import GuestFiles
from harness.vm.warm import WarmGuests
from harness.waiting import scale_deadlines
from images.build import guest_files as build_guest

if TYPE_CHECKING:
    from execnet import XSpec
    from xdist.workermanage import WorkerController

_trials = pytest.StashKey[Trial]()
_platform = pytest.StashKey[str]()
_bugs = pytest.StashKey[Sequence[KnownBug]]()
_unusable = pytest.StashKey[dict[str, str]]()
_narrated = pytest.StashKey[NarratedRun]()
_stacks = pytest.StashKey[list[str]]()

STACK_SETS = Path(__file__).with_name("ci") / "stacks.toml"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chainproof", "chainproof: what the scenarios run on")
    group.addoption("--accel", choices=("auto", "kvm", "tcg"), default="auto", help="KVM is used only where it works")
    group.addoption(
        "--mode", choices=("auto", "system", "session"), default="auto", help="libvirt's mode (root: system)"
    )
    group.addoption(
        "--stack",
        action="append",
        default=[],
        metavar="NAME",
        help=f"what to test, repeatable: {kinds.HELP}, a set",
    )
    group.addoption("--every-stack", action="store_true", help="end the run if one of the stacks cannot be used")
    group.addoption(
        "--upgrade-to", action="append", default=[], metavar="NAME", help="whose libvirt takes over running VMs"
    )
    group.addoption(
        "--procedure-on", action="append", default=[], metavar="NAME", help="where the documented procedure runs too"
    )
    for piece in kinds.PIECES:
        group.addoption(f"--{piece}", type=Path, metavar="PATH", help=f"a {piece} in place of each stack's own")
    group.addoption("--results", type=Path, metavar="FILE", help="save what came out, by scenario and stack")
    group.addoption("--work-dir", type=Path, default=defaults.default_work(), help="short path on a disk (%(default)s)")
    group.addoption("--evidence", type=Path, default=Path("evidence"), help="what failed scenarios leave (%(default)s)")
    group.addoption("--deadlines", type=float, default=1.0, metavar="FACTOR", help="stretch every deadline")
    group.addoption("--guest", choices=("warm", "cold"), default="warm", help="restored from a saved guest, or booted")
    group.addoption(
        "--kills", type=int, default=3, metavar="N", help="how often the killed run is killed (%(default)s)"
    )
    group.addoption("--narrate", action="store_true", help="tell what happens, as it happens")


@pytest.hookimpl(trylast=True)  # after pytest has made the reporter that a narrated run takes out
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(capability, ...): what a release must offer (harness.stack.offers)")
    parent = getattr(config, "workerinput", {}).get("chainproof_parent")
    if parent is not None:
        end_if_orphaned(parent)
    else:
        config.pluginmanager.register(tally.GuestTally())
        config.pluginmanager.register(ToldLines())
        several = len(_stack_names(config)) > 1 and not config.option.every_stack
        scheduler = config.pluginmanager.get_plugin("dsession")
        config.pluginmanager.register(StopWhenUnusable(scheduler, others_go_on=several))
    if config.option.narrate:  # in place of pytest's own report
        config.pluginmanager.unregister(name="terminalreporter")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Prepare once, before any worker starts, what all scenarios run on; a machine that cannot ends the run here."""
    config = session.config
    if hasattr(config, "workerinput") or not any("scenarios" in argument for argument in config.args):
        return
    try:
        settings = _settings(config)
        chosen = _acceleration(settings, build_guest(settings.images))
        told = _prepare_stacks(config, Kinds(settings.cache, settings.work))
    except Unusable as error:
        pytest.exit(str(error), returncode=EXIT_STATUS)
    config.stash[_platform] = f"{'; '.join(told.values())}, {chosen} ({chosen.reason}), {settings.mode} mode"
    config.pluginmanager.register(Matrix(told, config.option.results))
    if config.option.narrate:
        claim = "the documented live merge keeps every byte"
        config.stash[_narrated] = NarratedRun(_teller(config), claim, config.stash[_platform])
        config.pluginmanager.register(config.stash[_narrated])
        _teller(config)(f"On {config.stash[_platform]}:\n")


def _stack_names(config: pytest.Config) -> list[str]:
    if _stacks not in config.stash:  # every scenario asks several times
        pieces = {piece: config.getoption(f"--{piece}") for piece in kinds.PIECES}
        names = [kinds.changed(name, pieces) for name in kinds.expanded(config.option.stack or ["host"], STACK_SETS)]
        config.stash[_stacks] = kinds.upgraded(names, kinds.expanded(config.option.upgrade_to, STACK_SETS))
    return config.stash[_stacks]


def _concerned(config: pytest.Config, fixtures: Sequence[str]) -> list[str]:
    """The stacks that a scenario which takes these fixtures runs on: upgrades are for those that can upgrade."""
    names = _stack_names(config)
    if "upgradable" not in fixtures:
        return [name for name in names if kinds.UPGRADE not in name]
    return [name for name in names if kinds.UPGRADE in name or not config.option.upgrade_to]


def _procedure_names(config: pytest.Config) -> list[str]:
    names = kinds.expanded(config.option.procedure_on, STACK_SETS)
    return [name for name in names if name not in _stack_names(config)]


def _prepare_stacks(config: pytest.Config, makes: Kinds) -> dict[str, str]:
    """Every stack by name, made or with what it lacks; raises Unusable if too few of those asked for are left."""
    told: dict[str, str] = {}
    unusable: dict[str, Unusable] = {}
    for name in (*_stack_names(config), *_procedure_names(config)):
        try:
            told[name] = str(makes.stack(name))
        except Unusable as error:
            unusable[name] = error
            told[name] = str(error).splitlines()[0]
    lacking = [name for name in _stack_names(config) if name in unusable]
    if lacking and (config.option.every_stack or lacking == _stack_names(config)):
        raise Unusable("\n".join(str(unusable[name]) for name in lacking))
    config.stash[_unusable] = {name: str(error) for name, error in unusable.items()}
    return told


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A stack is a dimension of every scenario that uses one."""
    if "stack" not in metafunc.fixturenames:
        return
    names = _concerned(metafunc.config, metafunc.fixturenames)
    if metafunc.definition.path.parent.name == "procedure":
        names += _procedure_names(metafunc.config)
    if names not in ([], ["host"]):
        metafunc.parametrize("stack", names, indirect=True, ids=names, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs on no stack: where all are upgrades, the scenarios that cannot upgrade."""

    def runs(item: pytest.Item) -> bool:
        fixtures: Sequence[str] = getattr(item, "fixturenames", ())
        return "stack" not in fixtures or bool(_concerned(config, fixtures))

    left_out = [item for item in items if not runs(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    return outcome.status(report)


def pytest_report_header(config: pytest.Config) -> str:
    return f"chainproof: {config.stash.get(_platform, 'no scenario, no VM')}"


def _teller(config: pytest.Config) -> Callable[[str], None]:
    """Prints past pytest's capturing."""
    capture = config.pluginmanager.get_plugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            print(text, flush=True)

    return say


def _settings(config: pytest.Config) -> Settings:
    option = config.option
    mode = defaults.default_mode() if option.mode == "auto" else option.mode
    work, evidence = option.work_dir.absolute(), option.evidence.absolute()
    return Settings(option.accel, mode, work, defaults.default_cache(), evidence, option.deadlines, option.guest)


def _acceleration(settings: Settings, guest: GuestFiles) -> Acceleration:
    """By the host's own QEMU: whether KVM works is about the machine, and a stack that breaks it should show."""
    chosen = accelerations.choose(settings.accel, Stack.host(), guest.directory, settings.cache, settings.work)
    scale_deadlines(chosen.deadline_factor * settings.deadline_factor)
    return chosen


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: Sequence[XSpec]) -> None:
    """A `kill -9` ends the workers with us, even while they start; by themselves they would take up to 15 s."""
    for spec in specs:
        if spec.popen and not spec.python:
            spec.python = shlex.join(dying_with_us([sys.executable]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    node.workerinput["chainproof_parent"] = os.getpid()
    node.workerinput["chainproof_unusable"] = node.config.stash.get(_unusable, {})


@pytest.fixture(scope="session")
def settings(request: pytest.FixtureRequest) -> Settings:
    return _settings(request.config)


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.option.kills)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, settings: Settings) -> Stack:
    config, name = request.config, getattr(request, "param", "host")
    passed_on = getattr(config, "workerinput", {}).get("chainproof_unusable", {})
    problem = config.stash.get(_unusable, passed_on).get(name)
    if problem is not None and name in _procedure_names(config):
        pytest.skip(problem.splitlines()[0])
    if problem is not None:
        raise Unusable(problem)
    return Kinds(settings.cache, settings.work).stack(name)


@pytest.fixture(scope="session")
def guest_files(settings: Settings) -> GuestFiles:
    return build_guest(settings.images)


@pytest.fixture(scope="session")
def acceleration(settings: Settings, guest_files: GuestFiles) -> Acceleration:
    return _acceleration(settings, guest_files)


@pytest.fixture(scope="session")
def warm_guests(settings: Settings, stack: Stack, guest_files: GuestFiles, acceleration: Acceleration) -> WarmGuests:
    return WarmGuests.of(settings.cache, stack, guest_files, acceleration, settings.mode)


@pytest.fixture(scope="session")
def setup(settings: Settings, guest_files: GuestFiles, acceleration: Acceleration, warm_guests: WarmGuests) -> Setup:
    return Setup(settings.mode, acceleration.kvm, guest_files.directory, warm_guests.directory)


@pytest.fixture(scope="session")
def daemon(settings: Settings, stack: Stack, setup: Setup) -> Iterator[Daemon]:
    with Daemon(stack, RunDirectory(settings.work), setup) as running:
        yield running


@pytest.fixture
def upgradable(settings: Settings, stack: Stack, setup: Setup) -> Iterator[Daemon]:
    """A daemon of the scenario's own, which need not be the same one at its end."""
    require_upgrade(stack)
    with Daemon(stack, RunDirectory(settings.work), setup) as running:
        yield running


@pytest.fixture
def machine(stack: Stack, acceleration: Acceleration) -> Machine:
    return Machine(stack.qemu, acceleration.domain_type, GUEST)


@pytest.fixture
def trial(
    request: pytest.FixtureRequest, daemon: Daemon, settings: Settings, machine: Machine, warm_guests: WarmGuests
) -> Iterator[Trial]:
    for needs in request.node.iter_markers("needs"):
        require(daemon.stack, *needs.args)
    request.node.stash[_bugs] = known_bugs(request.node.nodeid, daemon.stack)
    cold = settings.guest == "cold" or request.node.get_closest_marker("cold") is not None
    cold = cold or not OFFERS["restore"].is_in(daemon.stack)
    warm = None if cold else warm_guests
    with Trial(daemon, machine, request.node.nodeid, settings.cache, warm) as running:
        request.node.stash[_trials] = running
        if request.config.option.narrate:
            running.journal.listeners.append(Narrator(_teller(request.config)))
            request.config.stash[_narrated].told = running
        yield running


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Repeat what passes though the stack has a bug that shows only sometimes, until it shows."""
    if not repeated_for(item.nodeid):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    done: list[list[pytest.TestReport]] = []
    bugs: Sequence[KnownBug] = []
    while not done or (bugs and len(done) < ROUNDS and not rounds.is_last(done[-1])):
        done.append(runtestprotocol(item, log=False, nextitem=nextitem))
        found: Sequence[KnownBug] = item.stash.get(_bugs, [])
        bugs = repeated_for(item.nodeid, found)
    rounds.told(done, bugs)
    for report in done[-1]:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _is_judged(item: pytest.Item) -> bool:
    """Whether an item has a trial that the universal checks must find nothing wrong with."""
    return _trials in item.stash and item.get_closest_marker("sabotaged") is None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if _is_judged(item):
            explain(item.stash[_trials], error)
        raise
    if _is_judged(item):
        verify_all(item.stash[_trials])


@pytest.fixture
def domain(trial: Trial) -> Domain:
    domain = trial.define(trial.create_base())
    try:
        trial.bring_up()
    except DomainFailed as error:  # before any act: the stack or the machine, not what a scenario is about
        raise Unusable("no VM can be started", "see its last words", str(error)) from error
    return domain


@pytest.fixture
def layered(domain: Domain) -> Domain:
    """The documented four layers: base <- sn1 <- sn2 <- cur."""
    domain.grow(LAYERS)
    return domain


@pytest.fixture
def guest(domain: Domain) -> Guest:
    return domain.guest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and _is_judged(item):
        report.user_properties += [(tally.PROPERTY, how) for how in item.stash[_trials].guests]
    if "stack" in getattr(item, "fixturenames", ()):
        name = item.callspec.params.get("stack", "host") if hasattr(item, "callspec") else "host"
        report.user_properties.append((outcome.STACK, name))
    if call.when == "call":  # before the evidence, which is not wanted of a known bug, and hard to get of some
        bugs: Sequence[KnownBug] = item.stash.get(_bugs, [])
        said = "" if call.excinfo is None else str(call.excinfo.value)
        report.longrepr = outcome.settle(report, said, bugs) or report.longrepr
    if call.excinfo is not None and call.excinfo.errisinstance(NotOffered):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, str(call.excinfo.value))
        report.user_properties.append((outcome.NOT_OFFERED, str(call.excinfo.value)))
    elif call.excinfo is not None and call.excinfo.errisinstance(Unusable):
        report.longrepr = str(call.excinfo.value)
        report.user_properties.append((PROPERTY, str(call.excinfo.value)))
    elif report.failed and _trials in item.stash:
        kept = collect(item.stash[_trials], report.longreprtext, item.config.option.evidence.absolute())
        report.sections.append(("evidence", str(kept)))
    return report
