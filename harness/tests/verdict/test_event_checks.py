"""Events of both kinds tell the same; a daemon that ends between the two kinds of one is no finding."""

from __future__ import annotations

import pytest

from harness.verdict.event_checks import alike

_READY, _DONE, _LATER = ("active-commit", "ready"), ("active-commit", "completed"), ("commit", "completed")


@pytest.mark.parametrize(
    ("older", "newer", "cuts", "holds"),
    [
        ([_READY, _DONE], [_READY, _DONE], 0, True),
        ([_READY], [_READY, _DONE], 0, False),
        ([_READY], [_READY, _DONE], 1, True),
        ([_DONE], [_READY, _DONE], 1, True),
        ([_READY, _DONE], [_DONE], 1, True),
        ([_LATER], [_READY, _LATER], 1, True),
        ([_READY, _LATER], [_LATER], 1, True),
        ([], [_READY, _DONE], 1, False),
        ([_DONE, _READY], [_READY, _DONE], 1, False),
    ],
)
def test_one_event_may_be_missing_for_each_daemon_that_has_ended(
    older: list[tuple[str, str]], newer: list[tuple[str, str]], cuts: int, holds: bool
) -> None:
    assert alike(older, newer, cuts) is holds
