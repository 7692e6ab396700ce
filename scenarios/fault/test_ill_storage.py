"""Storage fails under an operation: the operation fails, the guest keeps every byte, and later it can be done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from harness.acts.act import Act
from harness.acts.calls import Error, Operation
from harness.acts.chain import (
    ActiveCommit,
    AwaitCompleted,
    AwaitFailed,
    AwaitReady,
    Commit,
    Copy,
    FailPivot,
    Pivot,
    Pull,
)
from harness.acts.faults import KillQemu
from harness.acts.guest import BeginWrite, EndWrite, FailWrite, Flush, Write
from harness.acts.images import RemoveImage
from harness.acts.power import Resume
from harness.acts.snapshot import Snapshot
from harness.acts.storage import AwaitFaults, AwaitStopped, BreakStorage, HealStorage
from harness.oracle.driver import Driver
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


_IN_DEFAULT = ("read once", "no room")


def _rows() -> list[object]:
    return [
        pytest.param(name, fault, image, marks=[] if fault in _IN_DEFAULT and not n else [pytest.mark.full])
        for name, case in CASES.items()
        for fault, (operation, _, _) in FAULTS.items()
        for n, image in enumerate(case.reads if operation == "read" else case.writes)
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

    _do_again(trial, layered, *case.begin, *case.end)


def _do_again(trial: Trial, vm: Vm, *acts: Act) -> None:
    """Do what has failed, with storage that is well: it ends well, and the VM starts from what it has left."""
    trial.do(*acts, Write("vda", "G", (0, 11)))
    trial.verify("done again")
    _start_again(trial, vm)


def _start_again(trial: Trial, vm: Vm) -> None:
    vm.shut_off()
    vm.bring_up()
    trial.verify("started again")


READY: Mapping[str, tuple[Act, str, Sequence[Act]]] = {
    "active commit": (ActiveCommit("vda", "base"), "base", ()),
    "copy": (Copy("vda", "copy"), "copy", [RemoveImage("copy")]),
}


@pytest.mark.parametrize("error", [pytest.param("EIO", marks=pytest.mark.full), "ENOSPC"])
@pytest.mark.parametrize("operation", READY)
def test_a_job_that_fails_at_ready_leaves_the_guest_what_it_has(
    trial: Trial, layered: Vm, operation: str, error: Error
) -> None:
    """base <- sn1 <- sn2 <- cur (live, a job is READY)   stays that, and becomes later what the job makes of it."""
    begin, target, clean = READY[operation]
    trial.do(begin, AwaitReady("vda"), BreakStorage(target, "write", error))
    trial.do(Write("vda", "E", (1, 10)), AwaitFailed("vda"), Write("vda", "F", (2,)), HealStorage(), *clean)
    trial.verify("failed")

    _do_again(trial, layered, begin, AwaitReady("vda"), Pivot("vda"))


@pytest.mark.parametrize("operation", READY)
def test_a_pivot_that_fails_leaves_the_guest_what_it_has(trial: Trial, layered: Vm, operation: str) -> None:
    """base <- sn1 <- sn2 <- cur (live, a job is READY)   stays that, and becomes later what the job makes of it."""
    begin, target, clean = READY[operation]
    trial.do(begin, AwaitReady("vda"), Write("vda", "E", (1, 10)), BreakStorage(target, "flush"), FailPivot("vda"))
    trial.do(HealStorage(), *clean, Write("vda", "F", (2,)))
    trial.verify("failed")

    _do_again(trial, layered, begin, AwaitReady("vda"), Pivot("vda"))


_HEADER, _TABLES = 65535, _DATA + 65535
"""The last byte of the first cluster, which is the header; and of the first L2 table."""
UNWRITABLE: Mapping[str, tuple[BreakStorage, Sequence[Act], Sequence[Act]]] = {
    "commit, flush of the base": (
        BreakStorage("base", "flush"),
        [Commit("vda", "sn2", "base")],
        [AwaitCompleted("vda")],
    ),
    "commit, tables of the base": (
        BreakStorage("base", "write", "ENOSPC", last=_TABLES),
        [Commit("vda", "sn2", "base")],
        [AwaitCompleted("vda")],
    ),
    "commit, header above": (
        BreakStorage("cur", "write", times=1, last=_HEADER),
        [Commit("vda", "sn2", "base")],
        [AwaitCompleted("vda")],
    ),
    "commit, header of a lower one above": (
        BreakStorage("sn2", "write", "ENOSPC", last=_HEADER),
        [Commit("vda", "sn1", "base")],
        [AwaitCompleted("vda")],
    ),
    "pull, flush": (BreakStorage("cur", "flush"), [Pull("vda")], [AwaitCompleted("vda")]),
    "pull, tables": (
        BreakStorage("cur", "write", "ENOSPC", first=_DATA, last=_TABLES),
        [Pull("vda")],
        [AwaitCompleted("vda")],
    ),
    "pull, header": (BreakStorage("cur", "write", last=_HEADER), [Pull("vda", "base")], [AwaitCompleted("vda")]),
    "active commit, flush": (
        BreakStorage("base", "flush"),
        [ActiveCommit("vda", "base")],
        [AwaitReady("vda"), Pivot("vda")],
    ),
    "active commit, tables": (
        BreakStorage("base", "write", "ENOSPC", last=_TABLES),
        [ActiveCommit("vda", "base")],
        [AwaitReady("vda"), Pivot("vda")],
    ),
}


_THESE = ("commit, flush of the base", "commit, header above", "pull, flush", "active commit, flush")


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=[] if row in _THESE else [pytest.mark.full]) for row in UNWRITABLE]
)
def test_an_operation_that_cannot_write_what_it_has_to_in_the_end_fails(trial: Trial, layered: Vm, row: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays that, and becomes later what the operation makes of it."""
    broken, begin, end = UNWRITABLE[row]
    trial.do(broken, *begin, AwaitFailed("vda"), HealStorage())
    trial.verify("failed")

    _do_again(trial, layered, *begin, *end)


def _few(rows: Mapping[str, object]) -> list[object]:
    """The first one of `rows` stands for all in the default tier."""
    return [pytest.param(row, marks=[pytest.mark.full] if number else []) for number, row in enumerate(rows)]


POLICIES: Mapping[str, tuple[Driver, Error]] = {
    "no room, by default": (Driver(), "ENOSPC"),
    "no room, enospace": (Driver(error_policy="enospace"), "ENOSPC"),
    "no room, stop": (Driver(error_policy="stop"), "ENOSPC"),
    "an error, stop": (Driver(error_policy="stop"), "EIO"),
}
JOBS: Mapping[str, tuple[Sequence[Act], Sequence[Act]]] = {
    "active commit": ([ActiveCommit("vda", "base"), AwaitReady("vda")], [Pivot("vda")]),
    "without a job": ((), ()),
    "copy": ([Copy("vda", "copy"), AwaitReady("vda")], [Pivot("vda")]),
}


@pytest.mark.parametrize("job", _few(JOBS))
@pytest.mark.parametrize("policy", _few(POLICIES))
def test_a_guest_that_an_error_has_stopped_goes_on_where_it_was(trial: Trial, policy: str, job: str) -> None:
    """base <- cur (live)   is paused by an error, and goes on without a byte lost."""
    driver, error = POLICIES[policy]
    trial.create_base()
    vm = trial.define(driver=driver).bring_up()
    trial.do(Write("vda", "A", (0, 1, 2)), Snapshot("vda", "cur"), Write("vda", "B", (1, 3)), *JOBS[job][0])
    trial.do(BreakStorage("cur", "write", error), BeginWrite("vda", "C", (2, 5)), AwaitStopped("vda"), HealStorage())
    trial.do(Resume(), EndWrite("vda"), Flush("vda"), *JOBS[job][1])

    trial.verify("resumed")
    _start_again(trial, vm)


REPORTED: Mapping[str, tuple[Driver, Error]] = {
    "an error, by default": (Driver(), "EIO"),
    "an error, enospace": (Driver(error_policy="enospace"), "EIO"),
    "an error, report": (Driver(error_policy="report"), "EIO"),
    "no room, report": (Driver(error_policy="report"), "ENOSPC"),
}


@pytest.mark.parametrize("job", _few(JOBS))
@pytest.mark.parametrize("policy", _few(REPORTED))
def test_a_guest_that_is_told_of_an_error_keeps_all_else(trial: Trial, policy: str, job: str) -> None:
    """base <- cur (live)   has a write that fails, of which the guest is told, and keeps every other byte."""
    driver, error = REPORTED[policy]
    trial.create_base()
    vm = trial.define(driver=driver).bring_up()
    trial.do(Write("vda", "A", (0, 1, 2)), Snapshot("vda", "cur"), Write("vda", "B", (1, 3)), *JOBS[job][0])
    trial.do(BreakStorage("cur", "write", error), FailWrite("vda", "C", (2, 5)), HealStorage())
    trial.do(Write("vda", "D", (2, 6)), *JOBS[job][1])

    trial.verify("told")
    _start_again(trial, vm)


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        ("active commit", "write"),
        *(
            pytest.param(*row, marks=pytest.mark.full)
            for row in (
                ("active commit", "read"),
                ("commit", "write"),
                ("commit", "read"),
                ("pull", "read"),
                ("copy", "write"),
            )
        ),
    ],
)
def test_a_job_whose_storage_does_not_come_back_for_a_while_goes_on(
    trial: Trial, layered: Vm, operation: str, what: Operation
) -> None:
    """base <- sn1 <- sn2 <- cur (live, a job waits for its storage)   becomes   what the job makes of it."""
    case = CASES[operation]
    image = (case.reads if what == "read" else case.writes)[0]
    trial.do(BreakStorage(image, what, "stall", first=_DATA), *case.begin, AwaitFaults())
    assert layered.disk("vda").ask("virDomainGetBlockJobInfo")
    trial.do(HealStorage(), Write("vda", "E", (0, 9)), *case.end, Write("vda", "F", (1, 11)))

    trial.verify("done")
    _start_again(trial, layered)


def test_a_guest_whose_disk_does_not_come_back_is_killed_and_starts_again(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live, a write does not end)   is killed, and   starts again."""
    trial.do(BreakStorage("cur", "write", "stall"), BeginWrite("vda", "E", (1,)), AwaitFaults(), KillQemu())
    trial.do(HealStorage())
    trial.verify("killed")
    layered.bring_up()
    trial.do(Write("vda", "F", (1, 2)))

    trial.verify("started again")
