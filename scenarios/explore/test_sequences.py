"""Every sequence of up to so many acts (--exhaustive N), each done once, and held to the oracle after each act."""

from __future__ import annotations

import pytest

from harness.explore.explorer import Explorer
from harness.explore.program import Program
from harness.run import exploring


def test_after_each_act_all_is_as_the_oracle_says(
    request: pytest.FixtureRequest, explorer: Explorer, sequence: Program
) -> None:
    """base <- sn1 <- sn2 and data <- top (live)   become   what the acts make of them."""
    exploring.hold(explorer, sequence, request.node.name)
