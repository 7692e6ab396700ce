"""What acts promise of a disk after a power loss, at every moment."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from harness.acts.act import Act
from harness.acts.chain import ActiveCommit, AwaitReady, Pivot
from harness.acts.guest import BeginWrite, EndWrite, Flush, Write, Zero
from harness.acts.images import CompressImage, CreateImage
from harness.acts.power import Define, ShutOff, Start
from harness.acts.snapshot import Snapshot
from harness.crash.promise import Promise, Span, Unjudged, promises
from harness.oracle.geometry import Geometry
from harness.oracle.image import Block, Raw
from harness.oracle.parts import ZERO
from harness.oracle.state import State

DISK = ("vm1", "vda")
PARTS = Geometry().parts_per_cell
UP = (CreateImage("base", geometry=Geometry(cells=3)), Define(), Start())


def told(*acts: Act) -> list[Promise | Unjudged]:
    """The promises of acts, each of which takes a second."""
    state, spans = State(), []
    for number, act in enumerate(acts):
        after = act.after(state)
        spans.append(Span(act, number * 10**9, number * 10**9 + 1, state, after, after))
        state = after
    return promises(spans)[DISK]


def last(*acts: Act) -> list[frozenset[object] | None]:
    """What each cell may be at the end; its parts are all alike."""
    promise = told(*UP, *acts)[-1]
    assert isinstance(promise, Promise)
    cells = [set(promise.values[at : at + PARTS]) for at in range(0, len(promise.values), PARTS)]
    assert all(len(cell) == 1 for cell in cells)
    return [cell.pop() for cell in cells]


A, B, ZEROS = frozenset("A"), frozenset("B"), frozenset({ZERO})
WRITE = Write("vda", "A", (0, 1))
UNFLUSHED = Write("vda", "B", (1,), flush=False)


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ((WRITE,), [A, A, ZEROS]),
        ((WRITE, UNFLUSHED), [A, A | B, ZEROS]),  # in place: the old or the new
        ((WRITE, UNFLUSHED, Flush("vda")), [A, B, ZEROS]),
        ((WRITE, UNFLUSHED, ShutOff()), [A, B, ZEROS]),
        ((Write("vda", "A", (0,), flush=False),), [None, ZEROS, ZEROS]),  # a new cluster: anything
        ((WRITE, Zero("vda", (1,), flush=False)), [A, None, ZEROS]),
        ((WRITE, BeginWrite("vda", "B", (1,))), [A, None, ZEROS]),
        ((WRITE, BeginWrite("vda", "B", (1,)), EndWrite("vda")), [A, None, ZEROS]),
        ((WRITE, BeginWrite("vda", "B", (1,)), EndWrite("vda"), Flush("vda")), [A, B, ZEROS]),
        ((WRITE, UNFLUSHED, Snapshot("vda", "sn1")), [A, A | B, ZEROS]),  # the guest has not flushed
        ((WRITE, Snapshot("vda", "sn1"), UNFLUSHED), [A, None, ZEROS]),  # a new cluster of the overlay
        ((WRITE, Snapshot("vda", "sn1"), ActiveCommit("vda", "base"), AwaitReady("vda")), [A, A, ZEROS]),
    ],
)
def test_what_is_flushed_is_certain_and_the_rest_is_old_or_new(
    acts: tuple[Act, ...], expected: list[frozenset[object] | None]
) -> None:
    assert last(*acts) == expected


def test_during_an_act_it_is_as_before_it_or_as_after_it() -> None:
    before, during, after = told(*UP, WRITE, Write("vda", "B", (1,)))[-3:]
    assert isinstance(before, Promise)
    assert isinstance(during, Promise)
    assert isinstance(after, Promise)

    assert [each.values[PARTS] for each in (before, during, after)] == [A, A | B, B]
    assert [each.active for each in (before, during, after)] == ["/export/images/base.qcow2", "", before.active]
    assert during.moment == "during: writes B into cells 1 of vda"


def test_the_active_image_is_that_of_the_pivot_once_it_has_ended() -> None:
    acts = (Snapshot("vda", "sn1"), ActiveCommit("vda", "base"), AwaitReady("vda"), Pivot("vda"))
    ready, pivoting, pivoted = (each.active for each in told(*UP, *acts)[-3:] if isinstance(each, Promise))

    assert [PurePosixPath(path).name for path in (ready, pivoting, pivoted)] == ["sn1.qcow2", "", "base.qcow2"]


def test_an_image_that_is_written_anew_is_judged_again_when_it_is_whole() -> None:
    *_, before, after = told(*UP, WRITE, ShutOff(), CompressImage("base"))

    assert isinstance(before, Unjudged)
    assert "base" in before.why
    assert isinstance(after, Promise)
    assert after.values[:PARTS] == (A,) * PARTS


def test_a_disk_that_is_no_file_is_not_judged_and_says_why() -> None:
    (promise,) = told(CreateImage("base", format=Raw(), store=Block(PurePosixPath("/dev/loop1"))))

    assert isinstance(promise, Unjudged)
    assert promise.why == "base is no file: what is written to a Block is not recorded"
