"""What the oracle says of bitmaps: no write is left out of one, whatever is done to the chain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.oracle.bitmap import Bitmap
from harness.oracle.content import Content, Impossible
from harness.oracle.geometry import Geometry
from harness.oracle.image import Qcow2, Raw
from harness.oracle.layer import alike
from harness.oracle.parts import UNDEFINED

_SMALL = Geometry(cells=4)
_ACTS = ("write", "snapshot", "commit", "active", "aborted", "pull", "copy", "checkpoint")


@given(st.lists(st.tuples(st.sampled_from(_ACTS), st.integers(0, 3)), max_size=12))
def test_whatever_is_done_what_changed_since_a_checkpoint_is_in_its_bitmaps(acts: list[tuple[str, int]]) -> None:
    content, instants = Content.new("base", _SMALL), {}
    for number, (act, cell) in enumerate(acts):
        if act == "checkpoint":
            instants[f"ck{number}"] = content.guest()
            content = content.mark(f"ck{number}")
        elif act == "write":
            content = content.write(f"W{number}", (cell,))
        else:
            content = _changed(content, act, f"n{number}")
    for name, before in instants.items():
        known = content.written_since(name)
        now, dirty = content.guest(), known.parts(known.dirty, _SMALL)
        assert all(
            alike(old, new) for part, (old, new) in enumerate(zip(before, now, strict=True)) if part not in dirty
        )
        assert known.kept
        after, held = content.backed_up("inc", known, Qcow2())
        put = after.holding("inc", held).add("full", Qcow2()).holding("full", before).rebase("inc", "full")
        assert put.reads_as("inc", now)


def _changed(content: Content, act: str, name: str) -> Content:
    chain = content.chain()
    match act:
        case "snapshot":
            return content.snapshot(name)
        case "copy":
            return content.copy(name).ready().pivot()
        case "pull":
            return content.pull(chain[0] if len(chain) > 1 else None).completed()
        case "commit" if len(chain) > 2:
            return content.commit(chain[1], chain[0]).completed()
        case "active" if len(chain) > 1:
            return content.active_commit(chain[0]).ready().pivot()
        case "aborted" if len(chain) > 1:
            return content.active_commit(chain[0]).ready().abort()
    return content


def test_an_overlay_begins_with_the_same_bitmaps_and_nothing_in_them() -> None:
    content = Content.new("base", _SMALL).mark("ck").write("A", (0,)).snapshot("sn1").write("B", (2,))

    assert content.bitmaps["base"]["ck"].dirty == {0}
    assert content.bitmaps["sn1"]["ck"].dirty == {2}
    assert content.written_since("ck").dirty == {0, 2}
    assert content.unmark("ck").bitmaps == {}


def test_a_bitmap_of_an_image_that_was_not_closed_may_be_lost() -> None:
    content = Content.new("base", _SMALL).mark("ck").snapshot("sn1").write("B", (2,)).crash()

    assert content.bitmaps["base"]["ck"].kept
    assert not content.written_since("ck").kept


def test_a_write_in_flight_is_perhaps_in_a_bitmap() -> None:
    content = Content.new("base", _SMALL).mark("ck").begin_write("A", (1,))

    assert content.written_since("ck") == Bitmap(65536, frozenset(), frozenset({1}))
    assert content.end_write().written_since("ck") == Bitmap(65536, frozenset({1}))


def test_granules_of_another_size_are_widened() -> None:
    fine = Bitmap(4096, frozenset({1, 16}))

    assert Bitmap(65536).joined(fine) == Bitmap(65536, frozenset({0, 1}))
    assert fine.joined(Bitmap(65536, frozenset({1}))).dirty == {1, *range(16, 32)}


@pytest.mark.parametrize("form", [Raw(), Qcow2(compat="0.10")])
def test_only_qcow2_of_version_3_has_bitmaps(form: Raw | Qcow2) -> None:
    with pytest.raises(Impossible, match="base can have no bitmaps"):
        Content.new("base", _SMALL, form).mark("ck")


def test_what_a_backup_holds_is_in_doubt_until_it_has_ended() -> None:
    content = Content.new("base", _SMALL).write("A", (1,)).mark("ck").write("B", (2,))
    begun, held = content.backed_up("inc", content.written_since("ck"), Qcow2())

    assert begun.contains("inc")[32] is UNDEFINED
    assert held[32] == "B"
    assert begun.layer("inc").backing == "base"


def test_a_bitmap_that_is_made_while_a_write_is_in_flight_perhaps_has_it() -> None:
    begun = Content.new("base", _SMALL).mark("old").begin_write("A", (1,)).mark("ck")

    assert begun.end_write().written_since("old").dirty == {1}
    assert begun.end_write().written_since("ck") == Bitmap(65536, frozenset(), frozenset({1}))
    assert begun.end_write().write("B", (1,)).written_since("ck").dirty == {1}
