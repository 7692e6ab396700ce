"""A signal is the run's exit status from the moment on at which it interrupts, whoever hears of it first."""

from __future__ import annotations

import signal

import pytest

from harness.run.interruption import Interruption


def test_what_is_interrupted_has_its_status_before_any_other_thread_has_heard_of_it() -> None:
    interruption = Interruption()  # without its thread: that may not have run yet

    assert interruption.status() == 0
    with pytest.raises(KeyboardInterrupt):
        interruption._interrupt(signal.SIGTERM, None)
    assert interruption.status() == 143
    with pytest.raises(KeyboardInterrupt):
        interruption._interrupt(signal.SIGINT, None)
    assert interruption.status() == 143
