"""Points in time are counted once each, and only where nothing is uncertain."""

from __future__ import annotations

from harness.oracle.bitmap import Bitmap
from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.trial.proofs import Proofs


def _layered() -> Content:
    """base <- sn1 <- cur: two instants below the active file."""
    content = Content.new("base", Geometry(cells=2)).write("A", (0,)).flush().snapshot("sn1").write("B", (1,)).flush()
    return content.snapshot("cur").write("C", (1,)).flush()


def test_each_file_that_is_not_active_is_an_instant_and_counts_once() -> None:
    proofs = Proofs()
    for _ in range(2):
        proofs.read("vm1", "vda", _layered())
    assert proofs.figures() == {"instants": 2, "bytes": 2 * 131072, "bitmaps": 0, "granules": 0}

    proofs.read("vm1", "vdb", _layered())
    assert proofs.figures()["instants"] == 4


def test_a_snapshot_inside_is_one() -> None:
    proofs = Proofs()
    proofs.read(
        "vm1", "vda", Content.new("base", Geometry(cells=2)).write("A", (0,)).flush().keep("s1").write("B", (0,))
    )

    assert proofs.figures()["instants"] == 1


def test_what_is_uncertain_counts_as_none() -> None:
    proofs = Proofs()
    content = _layered()
    proofs.read("vm1", "vda", content.active_commit("base"))
    assert proofs.figures()["instants"] == 1  # what is copied into base may be there or not

    proofs.marked("vm1", "vda", "base", "ck", Bitmap(65536, frozenset({1}), frozenset({2})))
    proofs.marked("vm1", "vda", "base", "ck", Bitmap(65536, frozenset({1}), kept=False))
    assert proofs.figures()["bitmaps"] == 0
    proofs.marked("vm1", "vda", "base", "ck", Bitmap(65536, frozenset({1, 3})))
    assert (proofs.figures()["bitmaps"], proofs.figures()["granules"]) == (1, 2)
