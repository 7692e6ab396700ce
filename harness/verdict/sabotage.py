"""Breaks things on purpose, for the proof that the checks catch it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.layers import pattern
from harness.verdict.trial import Trial


@contextmanager
def flipped_bit(trial: Trial, image: str, label: str, cell: int) -> Iterator[None]:
    """For the body, one bit in the middle of layer `label`'s marker of `cell` is another in the file of `image`."""
    marker = _marker(trial, label, cell)
    broken = bytearray(marker)
    broken[len(broken) // 2] ^= 1
    _replace(trial, image, marker, bytes(broken))
    try:
        yield
    finally:
        _replace(trial, image, bytes(broken), marker)


def put_back(trial: Trial, image: str, label: str, cell: int, stale: str) -> None:
    """Replace layer `label`'s marker of `cell` in the file of `image` by that of `stale`: as if its write was lost."""
    _replace(trial, image, _marker(trial, label, cell), _marker(trial, stale, cell))


def _marker(trial: Trial, label: str, cell: int) -> bytes:
    size = trial.domain.disk.content.geometry.cell_size
    return pattern.fill(label, trial.run, cell * size, size, size)


def _replace(trial: Trial, image: str, old: bytes, new: bytes) -> None:
    file = trial.daemon.sandbox.outside(trial.domain.disk.path(image))
    at = file.read_bytes().index(old)
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(new)
