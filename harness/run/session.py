"""A run from its configuration to its start: what is prepared once, and how workers die with it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from harness.errors import Unusable
from harness.process import dying_with_us, end_if_orphaned
from harness.report.narration import Narrator
from harness.run import inputs
from harness.run.coverage import CoverageReport
from harness.run.ending import BROKEN, Ending, Status
from harness.run.interruption import left_to_the_run
from harness.run.repetition import Repetition
from harness.run.reporters import (
    ChecksNotMade,
    GuestTally,
    MatrixReporter,
    NarratedRun,
    PowerLossTally,
    ProofTally,
    Remarks,
    StopWhenUnusable,
    past_capturing,
)
from harness.run.settings import ground_of
from harness.run.stacks import PASSED_ON, prepare, stack_names, unusable_stacks
from harness.trial.trial import Trial

if TYPE_CHECKING:
    from execnet import XSpec
    from xdist.workermanage import WorkerController

_PARENT = "chainproof_parent"
_platform = pytest.StashKey[str]()
_narrated = pytest.StashKey[NarratedRun]()
_MARKERS = (
    "needs(capability, ...): what a release must offer (harness.stack.offers)",
    "program(name, ...): what must be installed where the stack's own programs are (see ci/bootstrap.sh, clients)",
    "cold: the guest is booted, never restored",
    "sabotaged: something is broken on purpose: the universal checks are the scenario's own affair",
    "ill_storage: what QEMU does to images may fail, as acts say (harness.acts.storage)",
    "encrypted: images are made that are encrypted",
    "buses: the guest knows disks on SATA and USB: its kernel is the generic one",
    "devices: the images are on block devices, which this machine may not have",
    "recorded: the power is lost at every write, whatever the options",
    "detected: its saboteurs are rows of the table that `ci/run detect` prints",
    "full: of the full tier (--tier full): other rows stand for it in the default one",
    "elsewhere_too: also runs on the stacks of --procedure-on",
)


def pytest_configure(config: pytest.Config) -> None:
    """Register what prints, and watch the run that a worker belongs to."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    config.pluginmanager.register(Repetition())
    parent = getattr(config, "workerinput", {}).get(_PARENT)
    if parent is not None:
        end_if_orphaned(parent)
        left_to_the_run()
    else:
        several = len(stack_names(config)) > 1 and not config.option.every_stack
        stop = StopWhenUnusable(_ending(config), others_go_on=several)
        for plugin in (GuestTally(), PowerLossTally(), ProofTally(), ChecksNotMade(), Remarks(), stop):
            config.pluginmanager.register(plugin)
        if config.option.coverage:
            config.pluginmanager.register(CoverageReport(_ending(config).settle, stack_names(config)))
    if config.option.narrate:  # in place of pytest's own report
        config.pluginmanager.unregister(name="terminalreporter")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Prepare once, before any worker starts, what all scenarios run on; a machine that cannot ends the run here."""
    config = session.config
    scenarios = config.rootpath / "scenarios"
    paths = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    if hasattr(config, "workerinput") or not any(_meet(path, scenarios) for path in paths):
        return
    try:
        inputs.look_at(config)
        ground = ground_of(config)
        described = prepare(config, ground.kinds)
    except Unusable as error:
        _ending(config).settle(Status.UNUSABLE)
        raise pytest.UsageError(*str(error).splitlines()) from error
    config.stash[_platform] = f"{'; '.join(described.values())}, {ground}"
    config.pluginmanager.register(MatrixReporter(described, config.option.results, _ending(config)))
    if config.option.narrate:
        say = past_capturing(config)
        config.stash[_narrated] = NarratedRun(say, config.stash[_platform])
        config.pluginmanager.register(config.stash[_narrated])
        say(f"On {config.stash[_platform]}:\n")


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Pass on what goes wrong at the end of a worker."""
    try:
        yield
    except BaseException as error:
        getattr(session.config, "workeroutput", {})[BROKEN] = f"{type(error).__name__}: {error}"
        raise


def _ending(config: pytest.Config) -> Ending:
    """What settles the exit status: ci/run brings it along; a bare `pytest` gets it here."""
    known = next((plugin for plugin in config.pluginmanager.get_plugins() if isinstance(plugin, Ending)), None)
    if known is None:
        known = Ending()
        config.pluginmanager.register(known)
    return known


def _meet(path: os.PathLike[str], directory: os.PathLike[str]) -> bool:
    """Whether one of the two is the other, or in it."""
    one, other = os.fspath(path), os.fspath(directory)
    return os.path.commonpath([one, other]) in (one, other)


def narrate(config: pytest.Config, trial: Trial) -> None:
    """Tell what happens in a trial, as it happens, if the run is to be narrated."""
    if config.option.narrate:
        trial.journal.listeners.append(Narrator(past_capturing(config)))
        config.stash[_narrated].trial = trial


def pytest_report_header(config: pytest.Config) -> str:
    """Say what the scenarios run on."""
    return f"chainproof: {config.stash.get(_platform, 'no scenario, no VM')}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: Sequence[XSpec]) -> None:
    """A `kill -9` ends the workers with us, even while they start; by themselves they would take up to 15 s."""
    for spec in specs:
        if spec.popen and not spec.python:
            spec.python = shlex.join(dying_with_us([sys.executable]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Pass on to a worker whose it is, and which stacks it need not try."""
    node.workerinput[_PARENT] = os.getpid()
    node.workerinput[PASSED_ON] = unusable_stacks(node.config)
