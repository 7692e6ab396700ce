"""Crash states of hand-made recordings: what must be red is, and what must not be is not."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from harness.crash.explore import Explored, explore
from harness.crash.promise import Promise
from harness.oracle.parts import HOLE
from harness.tests.crash.hand_made import (
    BASE,
    BLOCK,
    CLUSTER,
    DATA,
    DEFINITION,
    DISK,
    HEADER,
    L2,
    RUN,
    TOP,
    calls,
    cell,
    definition,
    flush,
    header,
    l2,
    qcow2,
    renamed,
    shown,
    write,
)

SECOND = DATA + CLUSTER
COUNTS = struct.pack(">7H", *[1] * 7)


def explored(*pieces: bytes, first: dict[str, bytes], told: list[Promise]) -> Explored:
    return explore(first, calls(*pieces), {DISK: told}, RUN)


def at(when: int, promise: Promise) -> Promise:
    return replace(promise, since=when * 10**6, moment=f"from {when} on")


FIRST = {BASE: qcow2({0: cell("A", 0)}), DEFINITION: definition(BASE)}
WRITTEN = (
    write(1, 2, SECOND, cell("B", 1)),
    write(3, 4, BLOCK, COUNTS),
    flush(5, 6),
    write(7, 8, L2, l2({0: DATA, 1: SECOND})),
)
UNTIL_FLUSHED = replace(shown("A"), values=(*shown("A").values[:16], *[None] * 16))


def test_what_was_there_before_and_was_not_written_is_certain() -> None:
    found = explored(*WRITTEN, first=FIRST, told=[UNTIL_FLUSHED])

    assert found.reds == {}
    assert sum(found.states.values()) == 6  # none, data, counts, both; flushed; and with the table
    assert found.judged == {DISK}


def test_a_write_that_the_guest_has_flushed_is_there_in_every_state_after_it() -> None:
    found = explored(*WRITTEN, flush(9, 10), first=FIRST, told=[UNTIL_FLUSHED, at(11, shown("A", "B"))])

    assert found.reds == {}


def test_a_flush_that_is_missing_is_found() -> None:
    found = explored(*WRITTEN, first=FIRST, told=[UNTIL_FLUSHED, at(11, shown("A", "B"))])

    (red,) = found.reds.values()
    assert (red.moment, red.problem.kind, red.named_by) == ("from 11 on", "parts", "the persistent definition")
    assert red.problem.difference == "  cell 1, bytes 65536 to 131071: zero, promised was B"
    assert [str(call) for call in red.dropped] == [f"write 16 bytes at {L2} of base.qcow2"]
    assert red.files[BASE].endswith(cell("B", 1))


def test_a_table_that_may_be_there_without_what_it_counts_is_corruption() -> None:
    hasty = (write(1, 2, SECOND, cell("B", 1)), write(3, 4, L2, l2({0: DATA, 1: SECOND})), write(5, 6, BLOCK, COUNTS))

    found = explored(*hasty, flush(7, 8), first=FIRST, told=[UNTIL_FLUSHED])

    assert {red.problem.kind for red in found.reds.values()} == {"refcounts"}


def test_a_leak_is_no_corruption() -> None:
    found = explored(write(1, 2, BLOCK, COUNTS), flush(3, 4), first=FIRST, told=[shown("A")])

    assert found.reds == {}


LAYERS = {
    BASE: qcow2({0: cell("A", 0)}),
    TOP: qcow2({1: cell("B", 1)}, BASE),
    DEFINITION: definition(TOP),
}
COMMITTED = (
    write(1, 2, SECOND, cell("B", 1)),
    write(3, 4, BLOCK, COUNTS),
    flush(5, 6),
    write(7, 8, L2, l2({0: DATA, 1: SECOND})),
)


@pytest.mark.parametrize("is_flushed", [True, False])
def test_a_pivot_onto_a_base_that_was_not_flushed_is_found(*, is_flushed: bool) -> None:
    barrier = [flush(9, 10)] if is_flushed else []

    found = explored(
        *COMMITTED, *barrier, renamed(20, definition(BASE)), first=LAYERS, told=[shown("A", "B", active="")]
    )

    assert [red.source.path for red in found.reds.values()] == ([] if is_flushed else [BASE])


@pytest.mark.parametrize("is_flushed", [True, False])
def test_a_header_that_lets_go_of_its_backing_file_too_early_is_found(*, is_flushed: bool) -> None:
    let_go = write(20, 21, HEADER, header().ljust(CLUSTER, b"\0"), TOP)
    barrier = [flush(9, 10, TOP)] if is_flushed else []

    found = explored(
        *(write(1, 2, SECOND, cell("A", 0), TOP), write(3, 4, BLOCK, COUNTS, TOP), flush(5, 6, TOP)),
        *(write(7, 8, L2, l2({0: SECOND, 1: DATA}), TOP), *barrier, let_go),
        first=LAYERS,
        told=[shown("A", "B", active="")],
    )

    assert [red.problem.difference for red in found.reds.values()] == (
        [] if is_flushed else ["  cell 0, bytes 0 to 65535: zero, promised was A"]
    )


def test_the_image_that_the_guest_is_on_is_read_too() -> None:
    found = explored(first=LAYERS, told=[shown("A", "B", active=BASE)])

    assert {red.named_by for red in found.reds.values()} == {"the guest of vm1"}


def test_a_definition_that_was_not_flushed_before_it_was_renamed_is_found() -> None:
    hasty = renamed(20, definition(TOP)).replace(flush(22, 23, f"{DEFINITION}.new"), b"")

    found = explored(hasty, first=LAYERS, told=[shown("A", "B", active="")])

    assert {red.problem.kind for red in found.reds.values()} == {"definition"}


def test_a_part_that_nobody_has_written_is_a_hole() -> None:
    assert explored(first=FIRST, told=[shown("A", HOLE)]).reds == {}
    assert explored(first=FIRST, told=[shown("A", "B")]).reds
