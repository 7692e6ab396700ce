"""The fixtures of what explores: an explorer, and what it runs."""

from __future__ import annotations

import pytest

from harness.explore.explorer import Explorer
from harness.explore.program import Program
from harness.explore.walk import Walks
from harness.run import exploring
from harness.trial.ground import Daemons, Ground, Platform


@pytest.fixture
def explorer(request: pytest.FixtureRequest, platform: Platform, daemons: Daemons, ground: Ground) -> Explorer:
    return exploring.explorer_of(request, Explorer(platform, daemons, ground.settings.evidence))


@pytest.fixture
def sequence(request: pytest.FixtureRequest) -> Program:
    return exploring.program_of(request)


@pytest.fixture
def saved(request: pytest.FixtureRequest) -> Program:
    return exploring.saved_of(request)


@pytest.fixture
def walks(request: pytest.FixtureRequest, explorer: Explorer) -> Walks:
    return exploring.walks_of(request, explorer)
