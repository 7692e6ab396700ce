"""What is left of a soak when its hours are over is left out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from harness.run import soaking
from harness.waiting import now


def _item(hours: float, since: float) -> pytest.Item:
    """A scenario of a run that began `since` seconds ago."""
    option, stash = SimpleNamespace(soak=hours), {soaking.BEGAN: now() - since}
    return cast(pytest.Item, SimpleNamespace(config=SimpleNamespace(option=option, stash=stash)))


def test_a_scenario_is_left_out_when_the_hours_are_over() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"the 0\.5 hours were over"):
        soaking.pytest_runtest_setup(_item(0.5, 1801))


@pytest.mark.parametrize(("hours", "since"), [(0.5, 1799), (0, 5000)])
def test_until_then_it_runs(hours: float, since: float) -> None:
    soaking.pytest_runtest_setup(_item(hours, since))
