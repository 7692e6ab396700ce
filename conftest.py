"""pytest's options and fixtures: each hands a harness object to the scenarios."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import settings as defaults
from harness.errors import Unusable
from harness.layers.documented import LAYERS
from harness.process import die_with_parent
from harness.report import tally
from harness.report.narrated import NarratedRun
from harness.report.narration import Narrator
from harness.report.unusable import EXIT_STATUS, PROPERTY, StopWhenUnusable
from harness.settings import Settings
from harness.stack import acceleration as accelerations
from harness.stack.acceleration import Acceleration
from harness.stack.daemon import GUEST, Daemon, Setup
from harness.stack.run_directory import RunDirectory
from harness.stack.stack import Stack
from harness.verdict.checks import verify_all
from harness.verdict.evidence import collect
from harness.verdict.trial import Trial
from harness.vm.domain import Domain, DomainFailed
from harness.vm.domain_xml import Machine
from harness.vm.guest import Guest
from harness.vm.images import GuestFiles
from harness.vm.warm import WarmGuests
from harness.waiting import scale_deadlines
from images.build import guest_files as build_guest

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

_trials = pytest.StashKey[Trial]()
_platform = pytest.StashKey[str]()
_narrated = pytest.StashKey[NarratedRun]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chainproof", "chainproof: what the scenarios run on")
    group.addoption("--accel", choices=("auto", "kvm", "tcg"), default="auto", help="KVM is used only where it works")
    group.addoption(
        "--mode", choices=("auto", "system", "session"), default="auto", help="libvirt's mode (root: system)"
    )
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
    parent = getattr(config, "workerinput", {}).get("chainproof_parent")
    if parent is not None:
        die_with_parent(parent)
    else:
        config.pluginmanager.register(tally.GuestTally())
        config.pluginmanager.register(StopWhenUnusable(config.pluginmanager.get_plugin("dsession")))
    if config.option.narrate:  # in place of pytest's own report
        config.pluginmanager.unregister(name="terminalreporter")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Prepare once, before any worker starts, what all scenarios run on; a machine that cannot ends the run here."""
    config = session.config
    if hasattr(config, "workerinput") or not any("scenarios" in argument for argument in config.args):
        return
    try:
        settings, stack = _settings(config), Stack.host()
        chosen = _acceleration(settings, stack, build_guest(settings.images))
    except Unusable as error:
        pytest.exit(str(error), returncode=EXIT_STATUS)
    config.stash[_platform] = f"{stack}, {chosen} ({chosen.reason}), {settings.mode} mode"
    if config.option.narrate:
        claim = "the documented live merge keeps every byte"
        config.stash[_narrated] = NarratedRun(_teller(config), claim, config.stash[_platform])
        config.pluginmanager.register(config.stash[_narrated])
        _teller(config)(f"On {config.stash[_platform]}:\n")


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


def _acceleration(settings: Settings, stack: Stack, guest: GuestFiles) -> Acceleration:
    chosen = accelerations.choose(settings.accel, stack, guest.directory, settings.cache, settings.work)
    scale_deadlines(chosen.deadline_factor * settings.deadline_factor)
    return chosen


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    node.workerinput["chainproof_parent"] = os.getpid()


@pytest.fixture(scope="session")
def settings(request: pytest.FixtureRequest) -> Settings:
    return _settings(request.config)


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.option.kills)


@pytest.fixture(scope="session")
def stack() -> Stack:
    return Stack.host()


@pytest.fixture(scope="session")
def guest_files(settings: Settings) -> GuestFiles:
    return build_guest(settings.images)


@pytest.fixture(scope="session")
def acceleration(settings: Settings, stack: Stack, guest_files: GuestFiles) -> Acceleration:
    return _acceleration(settings, stack, guest_files)


@pytest.fixture(scope="session")
def warm_guests(settings: Settings, stack: Stack, guest_files: GuestFiles, acceleration: Acceleration) -> WarmGuests:
    provenance = f"{stack} {stack.name} {guest_files.digest} {acceleration} {settings.mode}"
    return WarmGuests(settings.cache / "warm", provenance)


@pytest.fixture(scope="session")
def setup(settings: Settings, guest_files: GuestFiles, acceleration: Acceleration, warm_guests: WarmGuests) -> Setup:
    return Setup(settings.mode, acceleration.kvm, guest_files.directory, warm_guests.directory)


@pytest.fixture(scope="session")
def daemon(settings: Settings, stack: Stack, setup: Setup) -> Iterator[Daemon]:
    with Daemon(stack, RunDirectory(settings.work), setup) as running:
        yield running


@pytest.fixture
def machine(stack: Stack, acceleration: Acceleration) -> Machine:
    return Machine(stack.qemu, acceleration.domain_type, GUEST)


@pytest.fixture
def trial(
    request: pytest.FixtureRequest, daemon: Daemon, settings: Settings, machine: Machine, warm_guests: WarmGuests
) -> Iterator[Trial]:
    cold = settings.guest == "cold" or request.node.get_closest_marker("cold") is not None
    warm = None if cold else warm_guests
    with Trial(daemon, machine, request.node.nodeid, settings.cache, warm) as running:
        request.node.stash[_trials] = running
        if request.config.option.narrate:
            running.journal.listeners.append(Narrator(_teller(request.config)))
            request.config.stash[_narrated].told = running
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    yield
    if _trials in item.stash and item.get_closest_marker("sabotaged") is None:
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
    if report.when == "call" and _trials in item.stash and item.get_closest_marker("sabotaged") is None:
        report.user_properties += [(tally.PROPERTY, how) for how in item.stash[_trials].guests]
    if call.excinfo is not None and call.excinfo.errisinstance(Unusable):
        report.longrepr = str(call.excinfo.value)
        report.user_properties.append((PROPERTY, str(call.excinfo.value)))
    elif report.failed and _trials in item.stash:
        kept = collect(item.stash[_trials], report.longreprtext, item.config.option.evidence.absolute())
        report.sections.append(("evidence", str(kept)))
    return report
