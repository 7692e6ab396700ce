from __future__ import annotations

import threading

import pytest

from harness import waiting
from harness.errors import Ailing, WaitTimeout
from harness.waiting import NotYet, now, scale_deadlines, scaled, settled, wait_until, watchdog


def test_a_wait_that_fails_says_what_it_saw_last() -> None:
    def probe() -> None:
        raise NotYet("two of three")

    with pytest.raises(WaitTimeout, match=r"waited 0 s for the third; last seen: two of three"):
        wait_until("the third", probe, timeout=0.02)


def test_a_deadline_that_is_the_claim_is_not_stretched_on_a_slow_machine() -> None:
    def probe() -> None:
        raise NotYet("it is still there")

    usual, began = scaled(1.0), now()
    scale_deadlines(1000.0)
    try:
        with pytest.raises(WaitTimeout, match="still there"):
            wait_until("the end", probe, timeout=0.02, stretched=False)
    finally:
        scale_deadlines(usual)
    assert now() - began < 20 * usual


def test_a_guarded_call_that_hangs_is_broken_off_and_others_are_left_alone() -> None:
    hangs = threading.Event()

    with (
        watchdog("the long one", 60, pytest.fail),
        pytest.raises(WaitTimeout, match="for the hanging call; last seen: the call returned only after it was broken"),
        watchdog("the hanging call", 0.02, hangs.set),
    ):
        assert hangs.wait(10)


def test_a_guarded_call_that_fails_by_itself_keeps_its_error() -> None:
    with pytest.raises(KeyError), watchdog("a call", 60, pytest.fail):
        raise KeyError


def test_an_error_that_comes_of_breaking_off_is_told_as_a_timeout() -> None:
    broken = threading.Event()

    def call() -> None:
        assert broken.wait(10)
        raise OSError("no monitor")

    with pytest.raises(WaitTimeout, match="broken off: no monitor"), watchdog("a call", 0.02, broken.set):
        call()


def test_a_call_that_waits_for_what_has_stopped_is_broken_off_before_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.02)
    broken = threading.Event()

    with (
        pytest.raises(Ailing, match="waiting for a call\nseen:     QEMU has stopped"),
        watchdog("a call", 600, broken.set, look=lambda: "QEMU has stopped"),
    ):
        assert broken.wait(10)


def test_where_breaking_off_does_not_help_the_next_thing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_PATIENCE", 0.02)
    first, second = threading.Event(), threading.Event()

    with pytest.raises(WaitTimeout), watchdog("a call", 0.02, first.set, second.set):
        assert second.wait(10)
    assert first.is_set()


def test_a_look_that_fails_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.01)
    looked = threading.Event()

    def look() -> str:
        looked.set()
        raise OSError("it is gone")

    with watchdog("a call", 60, pytest.fail, look=look):
        assert looked.wait(10)


def test_what_settles_is_told_at_once_and_what_does_not_as_it_was_last() -> None:
    seen = iter(range(100))

    assert settled(lambda: next(seen), lambda number: number == 3, timeout=5) == 3
    assert settled(lambda: "off", lambda state: state == "on", timeout=0) == "off"
