"""How a disk is divided."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness.oracle.geometry import Geometry


@given(cells=st.sets(st.integers(0, 11)), parts=st.sets(st.integers(0, 191), min_size=1))
def test_stretches_cover_the_parts_that_were_named_and_do_not_touch(cells: set[int], parts: set[int]) -> None:
    geometry = Geometry()
    ranges = [(part * geometry.part_size, geometry.part_size) for part in parts]

    stretches = geometry.stretches(cells, ranges)

    assert geometry.parts_of(ranges=stretches) == geometry.parts_of(cells, ranges)
    assert all(sum(one) < other[0] for one, other in pairwise(stretches))
