"""What could go wrong when libvirtd is replaced under a running VM, done on purpose and noticed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from harness.detect.saboteur import Saboteur, Scene, notice
from harness.detect.saboteurs import ON_A_DAEMON
from harness.run.detection import detected
from harness.stack.daemon import Daemon
from harness.trial.trial import Trial

pytestmark = [pytest.mark.sabotaged, pytest.mark.detected]


@pytest.fixture
def daemon(upgradable: Daemon) -> Daemon:
    return upgradable


@pytest.mark.usefixtures("layered")
@pytest.mark.parametrize("saboteur", ON_A_DAEMON, ids=str)
def test_it_is_noticed_under_another_libvirtd(
    trial: Trial, saboteur: Saboteur, record_property: Callable[[str, object], None]
) -> None:
    with ExitStack() as stack, detected(saboteur, record_property) as record:
        record(notice(Scene(trial, stack), saboteur))
