"""pytest's options and fixtures: each hands a harness object to the scenarios. How they run is in harness/run/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.oracle.documented import LAYERS
from harness.run import coverage, exploring, inputs, judging, session, soaking, stacks, tiers
from harness.run.settings import ground_of
from harness.settings import default_work
from harness.stack import kinds
from harness.stack.daemon import Daemon
from harness.stack.offers import OFFERS, require_upgrade
from harness.stack.stack import Stack
from harness.trial.ground import MARKS, Daemons, Ground, Kind, Platform
from harness.trial.nouns import Disk, Vm
from harness.trial.trial import Trial
from harness.vm.warm import WarmGuests


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("chainproof", "chainproof: what the scenarios run on").addoption
    add("--accel", choices=("auto", "kvm", "tcg"), default="auto", help="KVM is used only where it works")
    add("--mode", choices=("auto", "system", "session"), default="auto", help="libvirt's mode (root: system)")
    add("--stack", action="append", default=[], metavar="NAME", help=f"what to test, repeatable: {kinds.HELP}, a set")
    add("--every-stack", action="store_true", help="end the run if one of the stacks cannot be used")
    add("--upgrade-to", action="append", default=[], metavar="NAME", help="whose libvirt takes over running VMs")
    add("--procedure-on", action="append", default=[], metavar="NAME", help="where the documented procedure runs too")
    for piece in kinds.PIECES:
        add(f"--{piece}", type=Path, metavar="PATH", help=f"a {piece} in place of each stack's own")
    add("--results", type=Path, metavar="FILE", help="save what came out, by scenario and stack")
    add("--work-dir", type=Path, default=default_work(), help="short path on a disk (%(default)s)")
    add("--evidence", type=Path, default=Path("evidence"), help="what failed scenarios leave (%(default)s)")
    add("--deadlines", type=inputs.positive, default=1.0, metavar="FACTOR", help="stretch every deadline")
    add("--guest", choices=("warm", "cold"), default="warm", help="restored from a saved guest, or booted")
    add("--kills", type=inputs.count, default=3, metavar="N", help="how often the killed run is killed (%(default)s)")
    add("--replay", action="append", default=[], metavar="PATH", help="do these again from their journals, and compare")
    add("--power-loss", action="store_true", help="lose the power at every write, afterwards and in memory")
    add("--narrate", action="store_true", help="tell what happens, as it happens")
    exploring.add_options(parser)


@pytest.hookimpl(trylast=True)  # after pytest has made the reporter that a narrated run takes out
def pytest_configure(config: pytest.Config) -> None:
    for plugin in (session, stacks, judging, exploring, soaking, coverage, tiers):
        config.pluginmanager.register(plugin, plugin.__name__)


@pytest.fixture(scope="session")
def ground(request: pytest.FixtureRequest) -> Ground:
    return ground_of(request.config)


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.option.kills)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, ground: Ground) -> Stack:
    return stacks.stack_of(request, ground)


@pytest.fixture(scope="session")
def platform(ground: Ground, stack: Stack) -> Platform:
    return Platform(ground, stack)


@pytest.fixture(scope="session")
def warm_guests(platform: Platform) -> WarmGuests:
    return platform.warm


@pytest.fixture(scope="session")
def daemons(platform: Platform) -> Iterator[Daemons]:
    with Daemons(platform) as daemons:
        yield daemons


@pytest.fixture
def daemon(request: pytest.FixtureRequest, daemons: Daemons) -> Daemon:
    return daemons.sound(Kind(*(request.node.get_closest_marker(name) is not None for name in MARKS)))


@pytest.fixture  # a daemon of the scenario's own, which need not be the same one at its end
def upgradable(platform: Platform) -> Iterator[Daemon]:
    require_upgrade(platform.stack)
    with platform.daemon() as running:
        yield running


@pytest.fixture
def trial(request: pytest.FixtureRequest, daemon: Daemon, platform: Platform) -> Iterator[Trial]:
    stacks.require_needs(request.node, daemon.stack, daemon.sandbox.directory)
    cold = request.config.option.guest == "cold" or request.node.get_closest_marker("cold") is not None
    warm = not cold and OFFERS["restore"].is_in(daemon.stack)
    with platform.trial(daemon, request.node.nodeid, warm=warm) as running:
        judging.judge(request.node, running)
        session.narrate(request.config, running)
        yield running


@pytest.fixture
def vm(trial: Trial) -> Vm:
    return judging.first_vm(trial)


@pytest.fixture
def layered(vm: Vm) -> Vm:
    """The documented four layers: base <- sn1 <- sn2 <- cur."""
    return vm.grow(LAYERS)


@pytest.fixture
def vda(vm: Vm) -> Disk:
    return vm.disk("vda")
