"""Chains whose images allocate in units of different sizes: each by its own rule."""

from __future__ import annotations

import pytest

from harness.oracle.chain import Chain
from harness.oracle.geometry import Geometry
from harness.oracle.image import Qcow2
from harness.trial.trial import Trial

SMALL, USUAL, LARGE = Qcow2(cluster_size=4096), Qcow2(), Qcow2(cluster_size=1 << 20)
SUBCLUSTERS = Qcow2(subclusters=True)
CELL, PART = 65536, 2048


@pytest.mark.parametrize(
    "forms",
    [
        pytest.param((SMALL, USUAL, LARGE), id="growing", marks=pytest.mark.full),
        pytest.param((LARGE, USUAL, SMALL), id="shrinking"),
        pytest.param((SUBCLUSTERS, SMALL, SUBCLUSTERS), id="subclusters around"),
        pytest.param((USUAL, SUBCLUSTERS, LARGE), id="subclusters between", marks=pytest.mark.full),
    ],
)
def test_an_active_commit_over_clusters_of_all_sizes_keeps_every_byte(
    trial: Trial, forms: tuple[Qcow2, Qcow2, Qcow2]
) -> None:
    """base <- sn1 <- cur (live), of three cluster sizes   becomes   base (live)."""
    base, middle, top = forms
    trial.create_base(Geometry(cells=40, part_size=PART), form=base)
    vda = trial.define().bring_up().disk("vda")
    vda.write("A", range(0, 40, 3))
    vda.snapshot("sn1", form=middle)
    vda.write("B", (2, 3, 20), ranges=[(5 * CELL + 3 * PART, PART), (9 * CELL - PART, 2 * PART)])
    vda.zero(ranges=[(12 * CELL + PART, PART)])
    vda.snapshot("cur", form=top)
    vda.write("C", ranges=[(3 * CELL + 7 * PART, 3 * PART), (30 * CELL, PART)])
    vda.discard(cells=(6, 20))
    trial.verify("three cluster sizes")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        trial.verify("ready")
        vda.write("D", ranges=[(5 * CELL + 5 * PART, PART)])
        job.pivot()

    trial.verify("pivoted")
    assert vda.chain() == Chain.named("base")
