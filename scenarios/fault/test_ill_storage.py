"""Storage fails under an operation: the operation fails, the guest keeps every byte, and later it can be done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from harness.acts.act import Act
from harness.acts.calls import Error, Operation
from harness.acts.chain import Abort, ActiveCommit, AwaitCompleted, AwaitFailed, AwaitReady, Commit, Copy, Pivot, Pull
from harness.acts.guest import Write
from harness.acts.images import RemoveImage
from harness.acts.storage import BreakStorage, HealStorage
from harness.oracle.documented import LAYERS
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

pytestmark = pytest.mark.ill_storage


_DATA = 4 * 65536
"""Where the first L2 table of an image is, and behind it the data; before it QEMU reads when it opens the file, too."""


@dataclass(frozen=True)
class Case:
    """An operation that `begin`s, and `end`s well; which images it reads, and which it writes to."""

    begin: Sequence[Act]
    end: Sequence[Act]
    reads: Sequence[str]
    writes: Sequence[str]
    clean: Sequence[Act] = ()
    since: int = 0
    """The first byte of what it writes to that fails: libvirt makes a new image before."""


CASES: Mapping[str, Case] = {
    "active commit": Case([ActiveCommit("vda", "base")], [AwaitReady("vda"), Pivot("vda")], ["sn1", "cur"], ["base"]),
    "commit": Case([Commit("vda", "sn2", "base")], [AwaitCompleted("vda")], ["sn1", "sn2"], ["base"]),
    "pull": Case([Pull("vda")], [AwaitCompleted("vda")], ["base", "sn2"], ["cur"]),
    "copy": Case(
        [Copy("vda", "copy")],
        [AwaitReady("vda"), Pivot("vda")],
        ["base", "cur"],
        ["copy"],
        [RemoveImage("copy")],
        since=_DATA,
    ),
}
FAULTS: Mapping[str, tuple[Operation, Error, int]] = {
    "read once": ("read", "EIO", 1),
    "read": ("read", "EIO", 0),
    "write once": ("write", "EIO", 1),
    "write": ("write", "EIO", 0),
    "no room": ("write", "ENOSPC", 0),
}


def _rows() -> list[tuple[str, str, str]]:
    return [
        (name, fault, image)
        for name, case in CASES.items()
        for fault, (operation, _, _) in FAULTS.items()
        for image in (case.reads if operation == "read" else case.writes)
    ]


@pytest.mark.parametrize(("operation", "fault", "image"), _rows())
def test_an_operation_whose_storage_fails_can_be_done_again(
    trial: Trial, layered: Vm, operation: str, fault: str, image: str
) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays that, and becomes later what the operation makes of it."""
    case, (what, error, times) = CASES[operation], FAULTS[fault]
    broken = BreakStorage(image, what, error, times, first=case.since if what == "write" else _DATA)
    trial.do(broken, *case.begin, AwaitFailed("vda"), HealStorage())
    trial.do(*case.clean, Write("vda", "E", (1, 9)))
    trial.verify("failed")

    trial.do(*case.begin, *case.end, Write("vda", "F", (0, 11)))
    trial.verify("done again")
    layered.shut_off()
    layered.bring_up()
    trial.verify("started again")
