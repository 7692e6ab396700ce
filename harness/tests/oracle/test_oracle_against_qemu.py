"""The oracle says what real QEMU does to real images: qemu-io is the guest, qemu-img the host, both offline."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.acts.chain import ActiveCommit, AwaitCompleted, AwaitReady, Commit, Pivot, Pull
from harness.acts.guest import Discard, Write
from harness.acts.records import DeleteSnapshot
from harness.acts.revert import RevertToSnapshot
from harness.acts.snapshot import InternalSnapshot
from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.image import QCOW2, Format, Qcow2, Raw
from harness.oracle.parts import ZERO
from harness.oracle.table import Table, difference
from harness.process import run
from harness.readers.qemu_img import QemuImg
from harness.tests.oracle.bench import Bench, ToolsHand
from harness.tests.oracle.tools import READER, RUN, needs_qemu_img
from harness.tests.readers.qemu_img_reader import QemuImgReader

pytestmark = needs_qemu_img

SMALL, LARGE = Qcow2(cluster_size=4096), Qcow2(cluster_size=131072)
SUBCLUSTERS = Qcow2(cluster_size=131072, subclusters=True)
KINDS: dict[str, tuple[Geometry, tuple[Format, ...]]] = {
    "64k clusters": (Geometry(cells=6), (QCOW2,)),
    "4k clusters": (Geometry(cells=8, cell_size=16384), (SMALL,)),
    "clusters larger than cells": (Geometry(cells=10, cell_size=32768), (LARGE,)),
    "subclusters": (Geometry(cells=4), (SUBCLUSTERS,)),
    "all kinds of clusters": (Geometry(cells=6, cell_size=65536), (QCOW2, SMALL, LARGE, SUBCLUSTERS)),
}


def chain(bench: Bench, forms: Sequence[Format], chance: random.Random, layers: int) -> None:
    """So many layers with random contents."""
    for number in range(layers):
        if number:
            bench.snapshot(f"l{number}", forms[number % len(forms)])
        bench.guest(chance, chance.randint(1, 4))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_random_layers_and_commits_are_as_the_oracle_says(kind: str, seed: int, tmp_path: Path) -> None:
    geometry, forms = KINDS[kind]
    chance = random.Random(f"{kind} {seed}")
    with Bench(tmp_path, ToolsHand, geometry, forms[0]) as bench:
        layers = chance.randint(2, 4)
        chain(bench, forms, chance, layers)
        low = chance.randrange(layers - 1)
        # qemu-img copies in mid-chain as an active commit does, which shows where a cluster has parts
        if low + 2 < layers and chance.random() < 0.5 and SUBCLUSTERS not in forms:
            bench.do(Commit("vda", f"l{chance.randint(low + 1, layers - 2)}", f"l{low}"), AwaitCompleted("vda"))
        else:
            bench.do(ActiveCommit("vda", f"l{low}"), AwaitReady("vda"), Pivot("vda"))
        assert bench.difference() == ""

        bench.guest(chance, 3)
        assert bench.difference() == ""
        rows = QemuImgReader(QemuImg(run)).measure(bench.images(), geometry, RUN, bench.content)
        theirs = Table(rows, geometry)
        assert difference(bench.content.table(guest=False), theirs) == ""


@pytest.mark.parametrize("base", [None, "l0"])
def test_after_a_pull_every_view_is_as_the_oracle_says(base: str | None, tmp_path: Path) -> None:
    with Bench(tmp_path, ToolsHand, Geometry(cells=6), QCOW2) as bench:
        chain(bench, (QCOW2,), random.Random(7), 4)
        bench.do(Pull("vda", base), AwaitCompleted("vda"))

        seen = bench.seen().without_contents()
        assert difference(bench.content.table(guest=False).without_contents(), seen) == ""


def test_a_part_of_a_cluster_that_is_discarded_keeps_its_data_or_reads_as_zeros(tmp_path: Path) -> None:
    """The oracle promises nothing there; QEMU 7.2 keeps the data."""
    with Bench(tmp_path, ToolsHand, Geometry(cells=6), QCOW2) as bench:
        bench.do(Write("vda", "A", (0,)), Discard("vda", ranges=((4096, 8192),)))

        row = bench.seen().row("l0")
    assert row is not None
    assert row.contains is not None
    assert set(row.contains[1:3]) <= {"A", ZERO}
    assert set(row.contains[3:16]) == {"A"}


def test_a_raw_base_takes_what_an_active_commit_brings(tmp_path: Path) -> None:
    with Bench(tmp_path, ToolsHand, Geometry(cells=6), Raw()) as bench:
        bench.do(Write("vda", "A", (0, 1)))
        bench.snapshot("l1", QCOW2)
        bench.do(Write("vda", "B", (1, 2)), ActiveCommit("vda", "l0"), AwaitReady("vda"), Pivot("vda"))

        assert bench.difference() == ""


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_snapshots_inside_keep_what_was_there_and_are_gone_back_to(kind: str, seed: int, tmp_path: Path) -> None:
    geometry, forms = KINDS[kind]
    chance = random.Random(f"{kind} {seed} inside")
    with Bench(tmp_path, ToolsHand, geometry, forms[0]) as bench:
        chain(bench, forms, chance, 2)
        for name in ("s1", "s2", "s3"):
            bench.do(InternalSnapshot(name))
            bench.guest(chance, 3)
        assert bench.difference() == ""
        bench.do(RevertToSnapshot("s2"), DeleteSnapshot("s1"))
        bench.guest(chance, 3)
        assert bench.difference() == ""
        bench.do(RevertToSnapshot("s3"), DeleteSnapshot("s2"))

        assert bench.difference() == ""
        assert [READER.wrong_refcounts(image) for image in bench.images()] == [[]] * 2


# each check is seen to fail


def test_a_snapshot_that_the_oracle_takes_for_another_is_found_out(tmp_path: Path) -> None:
    with Bench(tmp_path, ToolsHand, Geometry(cells=6), QCOW2) as bench:
        bench.do(Write("vda", "A", (0,)), InternalSnapshot("s1"), Write("vda", "B", (0,)))
        later = bench.content.let_go("s1").keep("s1")

        assert "l0@s1 contains: cell 0 should be B, is A" in bench.difference(later)
        assert "l0@s1 should not be there" in bench.difference(bench.content.let_go("s1"))
        assert "l0@s2 was not measured" in bench.difference(bench.content.keep("s2"))


def broken_commit(content: Content, top: str, base: str) -> Content:
    """An oracle that forgets the lowest committed layer, if that is not all of them."""
    chain = content.chain()
    lowest = chain[chain.index(base) + 1]
    return content if lowest == top else content.commit(top, lowest).completed()


def test_an_oracle_with_a_wrong_commit_is_found_out(tmp_path: Path) -> None:
    with Bench(tmp_path, ToolsHand, Geometry(cells=6), QCOW2) as bench:
        chain(bench, (QCOW2,), random.Random(1), 4)
        before = bench.content
        bench.do(Commit("vda", "l2", "l0"), AwaitCompleted("vda"))
        assert bench.difference() == ""

        words = bench.difference(broken_commit(before, "l2", "l0"))
    assert "l0 contains: " in words
    assert "l3 should have l1 as backing file, has l0" in words


def test_a_write_that_the_oracle_does_not_know_of_is_found_out(tmp_path: Path) -> None:
    with Bench(tmp_path, ToolsHand, Geometry(cells=8, cell_size=16384), SMALL) as bench:
        bench.guest(random.Random(2), 4)
        other = bench.content.write("Z", ranges=[(8192, 4096)])

        assert "l0 contains: cell 0, its bytes 8192-12287, should be Z" in bench.difference(other)
        assert bench.difference() == ""
