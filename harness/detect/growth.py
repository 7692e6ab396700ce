"""What grows: memory, descriptors and threads of processes that live long, sampled, and drawn as a line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import CheckFailed

_BARS = "▁▂▃▄▅▆▇█"
_PAGE_KIB = 4
_POINTS = 40


@dataclass(frozen=True)
class Size:
    """What a process takes: its resident memory in KiB, its open descriptors, its threads."""

    memory: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, process: Path) -> Size:
        """Of the process with this directory in /proc. Raises OSError if it is gone."""
        memory = int((process / "statm").read_text().split()[1]) * _PAGE_KIB
        return cls(memory, sum(1 for _ in (process / "fd").iterdir()), sum(1 for _ in (process / "task").iterdir()))


def drawn(values: Sequence[int]) -> str:
    """Values in order as bars between their least and their most, POINTS of them at most."""
    if not values:
        return ""
    step = max(len(values) // _POINTS, 1)
    shown = [max(values[at : at + step]) for at in range(0, len(values), step)]
    least, most = min(shown), max(shown)
    return "".join(_BARS[(value - least) * (len(_BARS) - 1) // (most - least or 1)] for value in shown)


def growth(sizes: Sequence[Size]) -> list[str]:
    """A line each for memory, descriptors and threads: from, to, and how in between; medians of the two ends."""
    lines = []
    for name, unit in (("memory", " KiB"), ("descriptors", ""), ("threads", "")):
        values = [int(getattr(size, name)) for size in sizes]
        if values:
            tenth = max(len(values) // 10, 1)
            first, last = (sorted(end)[len(end) // 2] for end in (values[:tenth], values[-tenth:]))
            lines.append(f"{name:12} {first:>8} -> {last:>8}{unit:4}  {drawn(values)}")
    return lines


def require_steady(counts: Sequence[Mapping[str, int]], settled: int) -> None:
    """Raise CheckFailed if a count is larger after the last round than after the first `settled` rounds."""
    first, last = counts[settled], counts[-1]
    grown = {name: f"{first[name]} -> {last[name]}" for name in first if last[name] > first[name]}
    if grown:
        words = "; ".join(f"{name}: {drawn([count[name] for count in counts])} ({how})" for name, how in grown.items())
        raise CheckFailed(f"nothing grows from round {settled + 1} to round {len(counts)}", words)
