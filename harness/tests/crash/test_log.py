"""The recorder's log."""

from __future__ import annotations

import pytest

from harness.crash.log import Op, RecordingFailed, settled
from harness.tests.crash.hand_made import BASE, calls, flush, record, write


def test_a_call_has_its_bytes_its_begin_and_its_end() -> None:
    (call,) = calls(write(1, 3, 512, b"abc"))

    assert (call.op, call.path, call.offset, call.data) == (Op.WRITE, BASE, 512, b"abc")
    assert (call.began, call.ended) == (1_000_000, 3_000_000)


def test_calls_are_in_the_order_in_which_they_began() -> None:
    early = record(Op.WRITE, 0, 1, data=b"a", length=1)
    late = record(Op.WRITE, 1, 1, 9, length=1, result=1)

    assert [call.began for call in calls(early, flush(4, 5), late)] == [1_000_000, 4_000_000]


def test_of_a_write_that_was_cut_short_the_rest_is_not_there() -> None:
    begins = record(Op.WRITE, 0, 1, offset=0, length=4, data=b"abcd")

    (call,) = calls(begins, record(Op.WRITE, 1, 1, 2, length=4, result=3))

    assert (call.length, call.data) == (3, b"abc")


def test_what_failed_has_not_happened() -> None:
    assert calls(flush(1, 2, result=-5)) == []


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (flush(1, 2)[:-3], "breaks off"),
        (b"x" * 100, "begins no record"),
        (record(Op.FLUSH, 1, 1, 2), "not its begin"),
        (record(Op.ODD, 2, 1, 2), "does not know"),
    ],
)
def test_what_is_no_log_is_an_error(log: bytes, words: str) -> None:
    with pytest.raises(RecordingFailed, match=words):
        calls(log)


@pytest.mark.parametrize(("last", "count"), [(b"abc", 1), (b"xyz", 0)])
def test_a_write_that_its_process_did_not_survive_has_happened_if_its_bytes_are_there(last: bytes, count: int) -> None:
    begun = calls(record(Op.WRITE, 0, 1, length=3, data=b"abc"))

    assert len(settled(begun, {BASE: last})) == count
