"""Everything again and again on one stack, under pressure (--soak HOURS), and what grew meanwhile."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from harness.detect.growth import Size, growth
from harness.process import NOWHERE, Child, dying_with_us, kill, spawn
from harness.run import inputs, properties
from harness.trial.ground import Daemons
from harness.waiting import now

SIZES = "sizes"
"""The property with the sizes of a worker and of its daemon after a scenario, as JSON."""
_ROUNDS_AN_HOUR = 30  # more than can be done
_BUSY = "while :; do :; done"
# into a file that has no name any more: nothing is left of it, however it ends
_WRITING = """
exec 3>"$0"
rm "$0"
while :; do dd if=/dev/zero of=/proc/self/fd/3 bs=1M count=128 conv=notrunc,fsync 2>/dev/null; done
"""
BEGAN = pytest.StashKey[float]()
"""When the run began."""


def add_options(parser: pytest.Parser) -> None:
    """How long."""
    group = parser.getgroup("chainproof exploring", "chainproof: what is explored")
    group.addoption("--soak", type=inputs.positive, metavar="HOURS", help="everything repeated, under pressure")


def pytest_configure(config: pytest.Config) -> None:
    """In the run itself, press, and collect what is measured."""
    config.stash[BEGAN] = now()
    if config.option.soak and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Pressure(config.option.work_dir.absolute()))
        config.pluginmanager.register(_Growth())


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make the round a dimension of every scenario."""
    hours = metafunc.config.option.soak
    if hours:
        metafunc.fixturenames.append("soak_round")
        rounds = range(max(round(hours * _ROUNDS_AN_HOUR), 1))
        metafunc.parametrize("soak_round", rounds, ids=[f"round {number}" for number in rounds], indirect=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have all of a round before the next one."""
    if config.option.soak:
        items.sort(key=lambda item: item.callspec.params.get("soak_round", 0) if hasattr(item, "callspec") else 0)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave it out when the hours are over."""
    hours = item.config.option.soak
    if hours and now() - item.config.stash[BEGAN] > 3600 * hours:
        pytest.skip(f"the {hours:g} hours were over")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Measure, after a scenario, its worker and its daemon."""
    try:
        yield
    finally:
        daemons = getattr(item, "funcargs", {}).get("daemons")
        if item.config.option.soak and isinstance(daemons, Daemons):
            item.user_properties.append((SIZES, json.dumps(_sizes(daemons))))


def _sizes(daemons: Daemons) -> dict[str, dict[str, int]]:
    sizes = {"worker": Size.of(Path("/proc/self"))}
    daemon = daemons.running
    if daemon is not None and not daemon.ailment():
        sizes[f"libvirtd {daemon.pid}"] = Size.of(daemon.sandbox.process(daemon.pid))
    return {name: asdict(size) for name, size in sizes.items()}


class _Pressure:
    """Keeps a processor busy, and a disk, as long as the run goes on."""

    def __init__(self, work: Path) -> None:
        self._file = work / "pressure"
        self._children: list[Child] = []

    def pytest_sessionstart(self) -> None:
        """Press."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        for script in (_BUSY, _WRITING):
            command = dying_with_us(["sh", "-c", script, str(self._file)])
            self._children.append(spawn(command, stdin=NOWHERE, stdout=NOWHERE, stderr=NOWHERE))

    def pytest_sessionfinish(self) -> None:
        """Let go."""
        for child in self._children:
            kill(child)


class _Growth:
    """Prints how each worker and its daemons have grown."""

    def __init__(self) -> None:
        self._sizes: dict[str, list[Size]] = defaultdict(list)
        self._runs = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what was measured."""
        if report.when != "call":
            return
        self._runs += 1
        worker = str(getattr(report, "worker_id", "main"))
        for text in properties.values(report, SIZES):
            for name, size in json.loads(text).items():
                self._sizes[f"{worker} {name}"].append(Size(**size))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print it."""
        terminalreporter.section("soak")
        terminalreporter.write_line(f"{self._runs} scenario runs, with a busy processor and a busy disk")
        for name, sizes in sorted(self._sizes.items()):
            if len(sizes) > 1:
                terminalreporter.write_line(f"{name}, after each of {len(sizes)} scenarios:")
                for line in growth(sizes):
                    terminalreporter.write_line(f"  {line}")
