"""Whatever QEMU's writes, flushes, reads and discards could do otherwise is noticed: its I/O is broken on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from harness.detect.of_writes import SOURCE
from harness.detect.saboteur import Saboteur, Scene, notice
from harness.detect.saboteurs import IN_QEMU
from harness.run.detection import detected
from harness.stack.daemon import Daemon
from harness.stack.view import Preload
from harness.trial.ground import Platform
from harness.trial.trial import Trial
from images.preload import preload

pytestmark = [pytest.mark.sabotaged, pytest.mark.detected]


@pytest.fixture(scope="module")
def broken(platform: Platform) -> tuple[Preload, ...]:
    return (Preload(preload(SOURCE, platform.ground.settings.cache.preloads)),)


@pytest.fixture(scope="module")
def unrecorded(platform: Platform, broken: tuple[Preload, ...]) -> Iterator[Daemon]:
    with platform.daemon(preloads=broken) as running:
        yield running


@pytest.fixture(scope="module")
def recorded(platform: Platform, broken: tuple[Preload, ...]) -> Iterator[Daemon]:
    with platform.daemon(recorded=True, preloads=broken) as running:
        yield running


@pytest.fixture
def daemon(request: pytest.FixtureRequest, saboteur: Saboteur) -> Daemon:
    running = request.getfixturevalue("recorded" if saboteur.recorded else "unrecorded")
    assert isinstance(running, Daemon)
    return running


@pytest.mark.usefixtures("layered")
@pytest.mark.parametrize("saboteur", IN_QEMU, ids=str)
def test_it_is_noticed_by_what_is_meant_to(
    trial: Trial, saboteur: Saboteur, record_property: Callable[[str, object], None]
) -> None:
    with ExitStack() as stack, detected(saboteur, record_property) as record:
        record(notice(Scene(trial, stack), saboteur))
