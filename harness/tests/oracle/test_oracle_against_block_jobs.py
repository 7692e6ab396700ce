"""The oracle says what QEMU's live block jobs leave in every file, in each phase: no VM, but the jobs themselves."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.acts.act import Act
from harness.acts.chain import Abort, ActiveCommit, AwaitCompleted, AwaitReady, Commit, Copy, Pivot, Pull, SetSpeed
from harness.acts.faults import KillQemu
from harness.acts.guest import Flush, Write
from harness.acts.images import CreateImage
from harness.acts.power import ShutOff
from harness.acts.snapshot import Snapshot
from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.image import QCOW2, Format, Qcow2, Raw
from harness.oracle.parts import UNDEFINED
from harness.tests.oracle.bench import Bench, DaemonHand
from harness.tests.oracle.tools import needs_qemu_img, qemu_io

pytestmark = [
    needs_qemu_img,
    pytest.mark.skipif(shutil.which("qemu-storage-daemon") is None, reason="qemu-storage-daemon is not installed"),
]

SMALL, LARGE = Qcow2(cluster_size=4096), Qcow2(cluster_size=131072)
SUBCLUSTERS = Qcow2(cluster_size=131072, subclusters=True)
KINDS: dict[str, tuple[Geometry, tuple[Format, ...]]] = {
    "64k clusters": (Geometry(cells=8), (QCOW2, QCOW2, QCOW2, QCOW2)),
    "4k clusters": (Geometry(cells=8, cell_size=16384), (SMALL, SMALL, SMALL, SMALL)),
    "clusters larger than cells": (Geometry(cells=8, cell_size=32768), (LARGE, LARGE, LARGE, LARGE)),
    "all kinds of clusters": (Geometry(cells=8, cell_size=32768), (QCOW2, SMALL, LARGE, QCOW2)),
    "subclusters": (Geometry(cells=4), (SUBCLUSTERS, SUBCLUSTERS, SUBCLUSTERS, SUBCLUSTERS)),
    "subclusters between": (Geometry(cells=4), (QCOW2, SUBCLUSTERS, SMALL, SUBCLUSTERS)),
    "raw base": (Geometry(cells=8, cell_size=32768), (Raw(), QCOW2, SMALL, LARGE)),
}


def chain(bench: Bench, forms: Sequence[Format], chance: random.Random) -> None:
    """Four layers with random contents; the bench has made the first."""
    bench.guest(chance)
    for number, form in enumerate(forms[1:], 1):
        bench.snapshot(f"l{number}", form)
        bench.guest(chance)


def begun_active_commit(bench: Bench, chance: random.Random) -> Act:
    base = chance.choice(["l0", "l1", "l2"])
    bench.do(ActiveCommit("vda", base))
    return AwaitReady("vda")


def begun_copy(bench: Bench, chance: random.Random) -> Act:
    bench.do(Copy("vda", "copy", shallow=chance.random() < 0.5))
    return AwaitReady("vda")


def begun_commit(bench: Bench, chance: random.Random) -> Act:
    top, base = chance.choice([("l1", "l0"), ("l2", "l0"), ("l2", "l1")])
    bench.do(Commit("vda", top, base))
    return AwaitCompleted("vda")


def begun_pull(bench: Bench, chance: random.Random) -> Act:
    bench.do(Pull("vda", chance.choice([None, "l0", "l1"])))
    return AwaitCompleted("vda")


Begin = Callable[[Bench, random.Random], Act]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("begin", [begun_active_commit, begun_copy, begun_commit, begun_pull])
def test_a_live_job_leaves_every_file_as_the_oracle_says(begin: Begin, kind: str, tmp_path: Path) -> None:
    geometry, forms = KINDS[kind]
    chance = random.Random(f"{begin.__name__} {kind}")
    with Bench(tmp_path, DaemonHand, geometry, forms[0]) as bench:
        chain(bench, forms, chance)
        assert bench.difference() == ""

        waits = begin(bench, chance)
        bench.do(waits)
        assert bench.difference() == ""
        if isinstance(waits, AwaitReady):
            bench.guest(chance)
            bench.do(Pivot("vda"))
            assert bench.difference() == ""
        bench.guest(chance)

        assert bench.difference() == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kills", [False, True], ids=["aborted", "killed"])
@pytest.mark.parametrize("begin", [begun_active_commit, begun_copy])
def test_one_that_ends_at_ready_leaves_what_the_oracle_says(
    begin: Begin, kills: bool, kind: str, tmp_path: Path
) -> None:
    geometry, forms = KINDS[kind]
    chance = random.Random(f"{begin.__name__} {kind} ready")
    with Bench(tmp_path, DaemonHand, geometry, forms[0]) as bench:
        chain(bench, forms, chance)
        bench.do(begin(bench, chance))
        bench.guest(chance)
        if kills:
            bench.do(Write("vda", "Z", (1, 2), flush=False), KillQemu())
        else:
            bench.do(Abort("vda"))

        assert bench.difference() == ""


# phase one: 1 MiB a second, of some MiB

SLOW = Geometry(cells=64, cell_size=65536)
JOBS: dict[str, Act] = {
    "active commit": ActiveCommit("vda", "l0", bandwidth=1),
    "commit": Commit("vda", "l2", "l0", bandwidth=1),
    "pull": Pull("vda", bandwidth=1),
}
ENDS: dict[str, Act] = {"aborted": Abort("vda"), "killed": KillQemu()}


def slow_chain(bench: Bench) -> None:
    """Four layers, each with more than a second's worth of data."""
    bench.do(Write("vda", "A", tuple(range(0, 40))))
    for number, (label, cells) in enumerate((("B", range(4, 36)), ("C", range(20, 50))), 1):
        bench.snapshot(f"l{number}")
        bench.do(Write("vda", label, tuple(cells)))
    bench.snapshot("l3")
    bench.do(Write("vda", "D", tuple(range(40, 60))))


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("job", JOBS)
def test_one_that_ends_in_phase_one_leaves_no_more_in_doubt_than_the_oracle_says(
    job: str, end: str, tmp_path: Path
) -> None:
    """What the job would change is undefined, all else is exact: a correct QEMU is never called wrong."""
    with Bench(tmp_path, DaemonHand, SLOW, QCOW2) as bench:
        slow_chain(bench)
        before = bench.content
        bench.do(JOBS[job], Write("vda", "E", (2, 30, 62)), Flush("vda"))
        if job == "active commit":
            bench.do(SetSpeed("vda", 2))
        bench.do(ENDS[end])

        assert bench.difference() == ""
        after = bench.content
        assert after.chain() == before.chain()
        assert sum(part is UNDEFINED for part in after.contains("l0")) < SLOW.parts
        assert all(part is not UNDEFINED for part in after.guest())


AFTER_A_PULL: dict[str, tuple[Act, ...]] = {
    "a pull from above where it all is": (Pull("vda", "l0"), AwaitCompleted("vda")),
    "an active commit": (ActiveCommit("vda", "l1"), AwaitReady("vda"), Pivot("vda")),
    "a commit of it": (Snapshot("vda", "l3"), Commit("vda", "l2", "l1"), AwaitCompleted("vda")),
    "a commit of it and of what is above": (
        Snapshot("vda", "l3"),
        Snapshot("vda", "l4"),
        Commit("vda", "l3", "l1"),
        AwaitCompleted("vda"),
    ),
    "a pull into larger clusters": (
        CreateImage("l3", format=QCOW2, backing="l2"),
        Snapshot("vda", "l3", reuse=True),
        Pull("vda", "l1"),
        AwaitCompleted("vda"),
    ),
    "a shallow copy": (Copy("vda", "copy", shallow=True), AwaitReady("vda"), Pivot("vda")),
}
"""Acts on base l0 <- l1, of clusters of 64 KiB <- l2, of clusters of 4 KiB, into which a pull was given up."""


@pytest.mark.parametrize("after", AFTER_A_PULL)
def test_what_a_pull_that_was_given_up_may_have_copied_is_folded_as_what_it_may_be(after: str, tmp_path: Path) -> None:
    """Cell 50 comes last, so that it is not copied; where it would be, the rest of a larger cluster would be, too."""
    with Bench(tmp_path, DaemonHand, SLOW, SMALL) as bench:
        bench.do(Write("vda", "A", tuple(range(0, 40))), Write("vda", "B", ranges=((50 * 65536, 4096),)))
        bench.snapshot("l1", QCOW2)
        bench.snapshot("l2", SMALL)
        bench.do(Pull("vda", bandwidth=1), Abort("vda"), *AFTER_A_PULL[after])

        assert bench.difference() == ""


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("job", JOBS)
def test_a_wrong_byte_in_phase_one_where_it_is_defined_is_found(job: str, end: str, tmp_path: Path) -> None:
    """In the base, cell 0 is under nothing; in the active layer, cell 41 is the guest's own."""
    with Bench(tmp_path, DaemonHand, SLOW, QCOW2) as bench:
        slow_chain(bench)
        bench.do(JOBS[job], Flush("vda"), ENDS[end])
        if end == "aborted":
            bench.do(ShutOff())
        assert bench.difference() == ""
    image, cell = ("l3", 41) if job == "pull" else ("l0", 0)
    qemu_io(bench.path(image), f"write -P 0x5a {cell * 65536 + 4096} 512")

    assert f"{image} contains: cell {cell}," in bench.difference()


def test_a_wrong_byte_at_ready_is_found(tmp_path: Path) -> None:
    with Bench(tmp_path, DaemonHand, SLOW, QCOW2) as bench:
        slow_chain(bench)
        bench.do(ActiveCommit("vda", "l0"), AwaitReady("vda"), Abort("vda"), ShutOff())
        assert bench.difference() == ""
    qemu_io(bench.path("l0"), f"write -P 0x5a {45 * 65536} 512")

    assert "l0 contains: cell 45," in bench.difference()


def test_a_lost_write_after_the_end_is_found(tmp_path: Path) -> None:
    with Bench(tmp_path, DaemonHand, SLOW, QCOW2) as bench:
        slow_chain(bench)
        bench.do(Pull("vda", "l0"), AwaitCompleted("vda"))
        lost: Content = bench.content.write("F", (3,))

        assert "l3 contains: cell 3 should be F" in bench.difference(lost)


def test_what_was_flushed_survives_the_kill_and_what_was_not_may(tmp_path: Path) -> None:
    with Bench(tmp_path, DaemonHand, SLOW, QCOW2) as bench:
        slow_chain(bench)
        bench.do(Write("vda", "E", (61,)), Write("vda", "F", (62, 63), flush=False), KillQemu())

        assert bench.difference() == ""
        own = bench.content.contains("l3")
        assert own[61 * 16 : 62 * 16] == ("E",) * 16
        assert own[62 * 16 :] == (UNDEFINED,) * 32
    flushed = bench.path("l3")
    qemu_io(flushed, f"write -P 0x5a {61 * 65536} 512")
    assert "l3 contains: cell 61," in bench.difference()
