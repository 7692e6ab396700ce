"""Which stretches of an image QEMU calls allocated, for a qemu-img that does not say it in its map (before 6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from harness.oracle.geometry import Range

_LINE = re.compile(r"\(0x([0-9a-f]+)\) bytes +(not )?allocated at offset .*\(0x([0-9a-f]+)\)")


def allocated_ranges(printed: str) -> list[Range]:
    """The stretches that `qemu-io -c map` calls allocated in an image, zeros included."""
    return [
        (int(offset, 16), int(length, 16))
        for length, not_allocated, offset in _LINE.findall(printed)
        if not not_allocated
    ]


def split(start: int, length: int, ranges: Iterable[Range]) -> Iterator[tuple[int, int, bool]]:
    """The stretch cut where `ranges`, which are in order, begin and end: (start, length, whether it is in one)."""
    at, end = start, start + length
    for first, size in ranges:
        last = first + size
        if last <= at or first >= end:
            continue
        if first > at:
            yield at, first - at, False
            at = first
        yield at, min(last, end) - at, True
        at = min(last, end)
    if at < end:
        yield at, end - at, False
