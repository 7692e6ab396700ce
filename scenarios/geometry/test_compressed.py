"""A base whose clusters are compressed, as images are handed out: jobs read it, write into it, and keep every byte."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from harness.acts.faults import KillQemu
from harness.acts.images import CompressImage
from harness.oracle.chain import Chain
from harness.oracle.geometry import Geometry
from harness.oracle.image import Qcow2
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

FORMATS: Mapping[str, Qcow2] = {
    "zlib": Qcow2(),
    "zstd": Qcow2(compression="zstd"),
    "zlib, clusters of 512 KiB": Qcow2(cluster_size=1 << 19),
    "zlib, subclusters": Qcow2(cluster_size=131072, subclusters=True),
}
ROWS = [
    "zlib",
    pytest.param("zstd", marks=[pytest.mark.needs("zstd"), pytest.mark.full]),
    pytest.param("zlib, clusters of 512 KiB", marks=pytest.mark.full),
    pytest.param("zlib, subclusters", marks=pytest.mark.needs("inherited-subclusters")),
]


@pytest.mark.parametrize("form", ROWS)
def test_jobs_into_and_out_of_a_compressed_base_keep_every_byte(trial: Trial, form: str) -> None:
    """[compressed base] <- sn1 <- sn2 (live)   becomes   base, part of it no longer compressed, then copy (live)."""
    vda = _grown(trial, FORMATS[form]).disk()
    with vda.commit("sn1", "base") as job:
        job.wait_completed()
    trial.verify("committed into compressed clusters")
    with vda.active_commit("base") as job:
        job.wait_ready()
        vda.write("E", (2,), ranges=((8 * 65536 + 4096, 4096),))
        job.pivot()
    trial.verify("pivoted into the base")
    with vda.copy("copy") as job:
        job.wait_ready()
        vda.write("F", (5,))
        job.pivot()

    trial.verify("pivoted to the copy")
    assert vda.chain() == Chain.named("copy")


@pytest.mark.parametrize("form", ROWS)
def test_a_pull_from_a_compressed_base_keeps_every_byte(trial: Trial, form: str) -> None:
    """[compressed base] <- sn1 <- sn2 (live)   becomes   sn2 (live)."""
    vda = _grown(trial, FORMATS[form]).disk()
    with vda.pull() as job:
        vda.write("E", (2,), ranges=((8 * 65536 + 4096, 4096),))
        job.wait_completed()

    trial.verify("pulled")
    assert vda.chain() == Chain.named("sn2")


@pytest.mark.parametrize("form", ROWS)
def test_the_guest_writes_into_compressed_clusters(trial: Trial, form: str) -> None:
    """[compressed base] (live)   written to in parts, zeroed, discarded   the rest of each cluster is as it was."""
    vda = _compressed(trial, FORMATS[form]).disk()
    vda.write("B", ranges=((4096, 4096), (2 * 65536 - 4096, 8192)))
    vda.zero((3,))
    vda.discard((8,))
    vda.write("C", (8,), flush=False)
    trial.verify("written to")
    vda.vm.shut_off()
    vda.vm.bring_up()

    trial.verify("started again")


@pytest.mark.parametrize("compressed", [True, False], ids=["compressed", "as written"])
def test_what_the_guest_has_discarded_can_be_read_after_a_kill(trial: Trial, compressed: bool) -> None:
    """[base] (live), all of it discarded, nothing flushed   becomes   base (live, after SIGKILL): old, or zeros."""
    vm = _compressed(trial, Qcow2()) if compressed else _written(trial, Qcow2()).bring_up()
    vm.disk().discard((0, 1, 2, 3, 8), flush=False)
    trial.do(KillQemu())

    trial.verify("killed")
    vm.bring_up()
    trial.verify("started")


def _grown(trial: Trial, form: Qcow2) -> Vm:
    """A base with compressed clusters and overlays that cover some of them, whole and in part."""
    vm = _compressed(trial, form)
    vda = vm.disk()
    vda.snapshot("sn1")
    vda.write("B", (1,), ranges=((3 * 65536 - 4096, 8192),))
    vda.snapshot("sn2")
    vda.write("C", ranges=((5 * 65536 + 4096, 4096),))
    vda.discard((3,))
    trial.verify("grown")
    return vm


def _compressed(trial: Trial, form: Qcow2) -> Vm:
    """A base that its guest has written, compressed while its VM was off."""
    vm = _written(trial, form)
    trial.do(CompressImage("base"))
    told = trial.type(f"qemu-img check --output json {trial.path('base')}")
    assert json.loads(told.stdout)["compressed-clusters"] > 0
    return vm.bring_up()


def _written(trial: Trial, form: Qcow2) -> Vm:
    trial.create_base(Geometry(), form=form)
    vm = trial.define().bring_up()
    vm.disk().write("A", (0, 1, 2, 3, 8))
    vm.shut_off()
    return vm
