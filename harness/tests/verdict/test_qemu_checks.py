"""The reasons that libvirt gives for the ends of a VM's QEMUs are held to how they ended."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.oracle.state import Death
from harness.verdict.qemu_checks import are_told, reasons

SAVED, KILLED, OFF = Death.SAVED, Death.KILLED, Death.SHUT_OFF


@pytest.mark.parametrize(
    ("reasons", "ended", "told"),
    [
        ((), (), True),
        (("saved", "crashed", "destroyed"), (SAVED, KILLED, OFF), True),
        (("saved", "destroyed"), (OFF,), True),  # a guest was saved first, to be restored from then on
        (("saved", "crashed", "saved", "destroyed"), (SAVED, KILLED, OFF), True),  # or at a later start
        (("crashed", "destroyed"), (SAVED, KILLED, OFF), False),
        (("crashed", "saved", "destroyed"), (SAVED, KILLED, OFF), False),
        (("destroyed",), (KILLED,), False),
        (("destroyed",), (), False),
        ((), (OFF,), False),
        (("destroyed", "destroyed"), (OFF,), False),
    ],
)
def test_the_reasons_are_those_of_the_deaths(reasons: Sequence[str], ended: Sequence[Death], told: bool) -> None:
    assert are_told(reasons, ended) is told


def test_a_start_that_was_refused_is_no_end_of_a_qemu() -> None:
    starts, refused = "starting up libvirt version: 9.0.0", "shutting down, reason=failed"
    assert reasons([refused, starts, "shutting down, reason=destroyed", refused]) == ["destroyed"]
    assert reasons([starts, refused]) == ["failed"]
