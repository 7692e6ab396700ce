"""Random walks (--minutes M, --seed S): what is seen least comes first."""

from __future__ import annotations

import pytest

from harness.explore.walk import Walks
from harness.run import exploring


def test_after_each_act_all_is_as_the_oracle_says(request: pytest.FixtureRequest, walks: Walks) -> None:
    """base <- sn1 <- sn2 and data <- top (live)   become   what the acts make of them, walk after walk."""
    exploring.walk(walks, request.config, request.node)
