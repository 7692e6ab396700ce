"""What a power loss may leave of files."""

from __future__ import annotations

import pytest

from harness.crash.files import LAST, Directory, Surviving, events, require_complete, subsets
from harness.crash.log import Call, Op, RecordingFailed
from harness.tests.crash.hand_made import BASE, calls, flush, record, write

IMAGES = "/export/images/"


def after(made: list[Call], first: bytes = b"") -> Directory:
    directory = Directory({BASE: first})
    for _, begins, call in events(made):
        if begins:
            directory.begins(call)
        else:
            directory.ends(call)
    return directory


def test_what_had_ended_when_a_flush_began_is_durable() -> None:
    inode = after(calls(write(1, 2, 0, b"a"), flush(3, 4), write(5, 6, 1, b"b"))).names[BASE]

    assert bytes(inode.durable) == b"a"
    assert [call.data for call in inode.pending] == [b"b"]


def test_what_was_under_way_when_a_flush_began_is_not() -> None:
    begins = record(Op.WRITE, 0, 1, length=1, data=b"a")
    inode = after(calls(begins, flush(2, 5), record(Op.WRITE, 1, 1, 3, length=1, result=1))).names[BASE]

    assert bytes(inode.durable) == b""
    assert len(inode.pending) == 1


def test_a_flush_of_another_file_is_none_of_this_one() -> None:
    other = f"{IMAGES}other"
    made = calls(record(Op.CREATE, 2, 0, 0, other), write(1, 2, 0, b"a"), flush(3, 4, other))

    assert after(made).names[BASE].pending


def test_a_write_that_asks_for_it_is_durable_by_itself() -> None:
    begins = record(Op.WRITE, 0, 1, length=1, data=b"a", flags=2)

    assert bytes(after(calls(begins, record(Op.WRITE, 1, 1, 2, result=1, length=1))).names[BASE].durable) == b"a"


def test_the_size_is_that_of_what_survives() -> None:
    inode = after(calls(write(1, 2, 4, b"ab"), write(3, 4, 0, b"xy"))).names[BASE]
    first, second = (call.number for call in inode.pending)

    assert inode.content({second}) == b"xy"
    assert inode.content({first}) == b"\0\0\0\0ab"
    assert Surviving(BASE, inode, (first, second)).read(0, 6, "it") == inode.content({first, second}) == b"xy\0\0ab"


def test_a_discard_and_a_truncation_are_calls_like_others() -> None:
    hole = record(Op.DISCARD, 0, 1, offset=1, length=2, flags=3) + record(Op.DISCARD, 1, 1, 2)
    cut = record(Op.TRUNCATE, 0, 3, length=5) + record(Op.TRUNCATE, 1, 3, 4)
    inode = after(calls(hole, cut), b"abcd").names[BASE]

    assert inode.content({0, 1}) == b"a\0\0d\0"
    assert Surviving(BASE, inode, (1,)).read(0, 5, "it") == b"abcd\0"


def test_a_file_that_is_renamed_keeps_what_is_pending() -> None:
    made = calls(write(1, 2, 0, b"a"), record(Op.RENAME, 2, 3, 4, BASE, other=f"{IMAGES}new"))

    directory = after(made)

    assert [call.data for call in directory.names[f"{IMAGES}new"].pending] == [b"a"]
    assert BASE not in directory.names


def test_subsets_are_all_none_all_but_one_one_and_the_first_ones() -> None:
    found = [set(each) for each in subsets([1, 2, 3, 4])]

    expected = [{1, 2, 3, 4}, set(), {2, 3, 4}, {1, 3, 4}, {1, 2, 4}, {1, 2, 3}, {1}, {2}, {3}, {4}, {1, 2}]
    assert found == expected


def test_many_pending_calls_cost_no_more_than_the_newest() -> None:
    assert len(list(subsets(range(1000)))) < 4 * LAST


def test_what_was_not_recorded_is_an_error_of_the_harness() -> None:
    made = calls(write(1, 2, 0, b"ab"))

    require_complete({BASE: b""}, made, {BASE: b"ab\0\0"}, IMAGES)
    with pytest.raises(RecordingFailed, match="from byte 1 on"):
        require_complete({BASE: b""}, made, {BASE: b"ax"}, IMAGES)
    with pytest.raises(RecordingFailed, match=r"there are .*other"):
        require_complete({BASE: b""}, made, {BASE: b"ab", f"{IMAGES}other": b""}, IMAGES)
