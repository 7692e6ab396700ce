"""Jobs on images of every geometry: a row is what the images are like; what overlays inherit is held to the oracle."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.oracle.chain import Chain
from harness.oracle.geometry import Geometry
from harness.oracle.image import Format, Qcow2, Raw
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

_SECTORS = Geometry(cells=12, part_size=512)
GEOMETRIES: Mapping[str, tuple[Format, Geometry]] = {
    "clusters of 512 bytes": (Qcow2(cluster_size=512), _SECTORS),
    "clusters of 4 KiB": (Qcow2(cluster_size=4096), Geometry()),
    "clusters of 2 MiB": (Qcow2(cluster_size=2 << 20), Geometry()),
    "version 2": (Qcow2(compat="0.10"), Geometry()),
    "lazy refcounts": (Qcow2(lazy_refcounts=True), Geometry()),
    "refcounts of a bit": (Qcow2(refcount_bits=1), Geometry()),
    "refcounts of 64 bits, small clusters": (Qcow2(cluster_size=512, refcount_bits=64), _SECTORS),
    "zstd": (Qcow2(compression="zstd"), Geometry()),
    "a tail of a sector": (Qcow2(), Geometry(tail=512)),
    "a tail of half a cluster": (Qcow2(), Geometry(tail=32768)),
    "one cluster and a tail": (Qcow2(cluster_size=1 << 20), Geometry(cells=12, tail=512)),
    "raw base": (Raw(), Geometry()),
    "raw base with a tail": (Raw(), Geometry(tail=512)),
    "subclusters of 4 KiB": (Qcow2(cluster_size=131072, subclusters=True), Geometry()),
    "subclusters of 64 KiB": (Qcow2(cluster_size=2 << 20, subclusters=True), Geometry()),
    "subclusters, and a tail": (Qcow2(cluster_size=131072, subclusters=True), Geometry(cells=11, tail=512)),
}
_NEEDS = {"zstd": "zstd", "subclusters": "inherited-subclusters"}
# others are like them, or lie between
_DEFAULT = (
    "clusters of 512 bytes",
    "version 2",
    "one cluster and a tail",
    "raw base with a tail",
    "subclusters of 4 KiB",
)
CASES = [
    pytest.param(
        case,
        marks=[
            *(pytest.mark.needs(need) for word, need in _NEEDS.items() if case.startswith(word)),
            *([] if case in _DEFAULT else [pytest.mark.full]),
        ],
    )
    for case in GEOMETRIES
]


@pytest.mark.parametrize("case", CASES)
def test_commits_and_copies_keep_every_byte_on_any_geometry(trial: Trial, case: str) -> None:
    """base <- sn1 <- sn2 <- sn3 (live)   becomes   base <- sn1 <- sn3, then base, then copy (live)."""
    vda = _grown(trial, *GEOMETRIES[case]).disk("vda")

    with vda.commit("sn2", "sn1") as job:
        job.wait_completed()
    trial.verify("committed")
    with vda.active_commit(into="base") as job:
        job.wait_ready()
        vda.write("E", (0, 10))
        job.pivot()
    trial.verify("pivoted into the base")
    with vda.copy("copy") as job:
        job.wait_ready()
        vda.write("F", (5,))
        job.pivot()

    trial.verify("pivoted to the copy")
    assert vda.chain() == Chain.named("copy")


@pytest.mark.parametrize("case", CASES)
def test_a_pull_keeps_every_byte_on_any_geometry(trial: Trial, case: str) -> None:
    """base <- sn1 <- sn2 <- sn3 (live)   becomes   sn3 (live)."""
    vda = _grown(trial, *GEOMETRIES[case]).disk("vda")

    with vda.pull() as job:
        job.wait_completed()
    vda.write("E", (0, 10))

    trial.verify("pulled")
    assert vda.chain() == Chain.named("sn3")


def _grown(trial: Trial, form: Format, geometry: Geometry) -> Vm:
    """Layers with whole cells, parts of clusters, straddling two, and with holes, zeros and discards among them."""
    trial.create_base(geometry, form=form)
    vm = trial.define().bring_up()
    vda, cell = vm.disk("vda"), geometry.cell_size
    vda.write("A", (0, 1, 2, 3))
    vda.snapshot("sn1")
    vda.write("B", (1, 5), ranges=((3 * cell - 4096, 8192),))
    vda.snapshot("sn2")
    vda.zero((2,))
    vda.write("C", (), ranges=((5 * cell + 4096, 4096), ((geometry.cells - 1) * cell, cell)))
    vda.snapshot("sn3")
    vda.discard((1,))
    vda.write("D", (4,))
    trial.verify("grown")
    return vm
