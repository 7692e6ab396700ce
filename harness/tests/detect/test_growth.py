"""What grows is seen: sizes of a process, and how they are drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.detect.growth import Size, drawn, growth, require_steady
from harness.errors import CheckFailed


def test_the_size_of_a_process_is_what_the_kernel_says(tmp_path: Path) -> None:
    before = Size.of(Path("/proc/self"))
    with (tmp_path / "open").open("w"):
        held = Size.of(Path("/proc/self"))

    assert held.descriptors == before.descriptors + 1
    assert before.memory > 1000
    assert before.threads >= 1


def test_bars_show_the_least_and_the_most() -> None:
    assert drawn([0, 7]) == "▁█"
    assert drawn([5, 5, 5]) == "▁▁▁"
    assert drawn([]) == ""
    assert len(drawn(range(1000))) <= 60


def test_growth_compares_the_ends_and_not_a_peak_between_them() -> None:
    sizes = [Size(1000 + 10 * (number == 5), 20, 3) for number in range(10)] + [Size(3000, 25, 3)] * 2

    memory, descriptors, threads = growth(sizes)

    assert memory.startswith("memory           1000 ->     3000 KiB")
    assert "20 ->       25" in descriptors
    assert "3 ->        3" in threads


def test_a_count_that_grows_after_it_has_settled_is_told() -> None:
    counts = [{"nodes": nodes, "descriptors": 5} for nodes in (2, 4, 4, 4, 5)]

    require_steady(counts[:-1], settled=1)
    with pytest.raises(CheckFailed, match=r"nodes: .* \(4 -> 5\)") as caught:
        require_steady(counts, settled=1)
    assert "descriptors" not in str(caught.value)
