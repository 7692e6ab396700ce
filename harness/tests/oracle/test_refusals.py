"""What the oracle refuses to describe, at the edges of what it does, and in which words."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from harness.oracle.content import Content, Impossible
from harness.oracle.geometry import Geometry
from harness.oracle.image import QCOW2, Qcow2, Raw
from harness.oracle.job import End
from harness.oracle.pattern import fill
from harness.tests.oracle.disks import SMALL

RUN = "1a2b3c4d"


def refused(do: Callable[[], object], words: str) -> None:
    """With ValueError, or with Impossible, which is one, in exactly these words."""
    with pytest.raises((ValueError, Impossible), match=f"^{re.escape(words)}$"):
        do()


def test_a_disk_has_cells_of_whole_parts_of_whole_sectors() -> None:
    assert Geometry(cells=1, cell_size=512, part_size=512, tail=512).disk_size == 1024
    refused(lambda: Geometry(cells=0), "a disk has one cell at least")
    for size in (0, 256, 768):
        refused(lambda size=size: Geometry(part_size=size), f"the part size {size} is no multiple of 512")  # type: ignore[misc]
    for size in (0, 4097):
        words = f"the cell size {size} is no multiple of the part size 4096"
        refused(lambda size=size: Geometry(cell_size=size), words)  # type: ignore[misc]
    for tail in (-512, 100):
        refused(lambda tail=tail: Geometry(tail=tail), f"the tail of {tail} bytes is no multiple of 512")  # type: ignore[misc]


def test_what_is_written_lies_on_the_disk_in_whole_parts() -> None:
    assert SMALL.parts_of(ranges=((0, 4096),)) == {0}
    assert SMALL.unit_around(3, 0) == range(3, 4)
    refused(lambda: SMALL.parts_of(), "neither a cell nor a range of bytes was named")
    for offset, length in ((512, 4096), (0, 512), (0, 0)):
        words = f"{length} bytes at {offset} are not whole parts of 4096 bytes"
        refused(lambda where=(offset, length): SMALL.parts_of(ranges=(where,)), words)  # type: ignore[misc]
    for offset, length in ((-4096, 4096), (SMALL.size, 4096)):
        words = f"{length} bytes at {offset} lie outside the disk of {SMALL.size} bytes"
        refused(lambda where=(offset, length): SMALL.parts_of(ranges=(where,)), words)  # type: ignore[misc]


def test_clusters_are_a_power_of_two_from_512_on() -> None:
    assert Qcow2(512).unit == 512
    for size in (256, 768, 65537):
        refused(lambda size=size: Qcow2(size), f"the cluster size {size} is no power of two from 512 on")  # type: ignore[misc]
    words = "clusters of 2048 bytes are no multiple of the part size 4096"
    refused(lambda: Content.new("base", SMALL, Qcow2(2048)), words)


def test_a_pattern_is_of_whole_sectors_and_has_room_for_its_digits() -> None:
    assert fill("A", RUN, 0, 0, 4096) == b""
    for where in ((256, 512, 4096), (0, 256, 4096), (-512, 512, 4096), (0, -512, 4096), (0, 512, 256), (0, 512, 0)):
        with pytest.raises(ValueError):
            fill("A", RUN, *where)
    cell = 2 << 20
    assert len(fill("A", RUN, 10**14 - 1024, 512, cell)) == 512
    words = f"cell {10**14 // cell} at byte {10**14} has more digits than a line has room for"
    refused(lambda: fill("A", RUN, 10**14 - 512, 512, cell), words)


def test_a_file_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    disk = Content.new("base", SMALL).snapshot("top")

    refused(lambda: disk.layer("other"), "there is no file other; there are base, top")
    refused(lambda: disk.add("guest", QCOW2), "the name guest is taken")
    refused(lambda: disk.add("base", QCOW2), "the name base is taken")


def test_a_job_is_of_the_chain_and_downwards() -> None:
    disk = Content.new("base", SMALL).snapshot("mid").snapshot("top").add("beside", QCOW2)

    refused(lambda: disk.active_commit("beside"), "beside is not in the chain base <- mid <- top")
    refused(lambda: disk.active_commit("top"), "top is not below top in the chain base <- mid <- top")


def test_without_a_job_nothing_ends() -> None:
    refused(Content.new("base", SMALL).pivot, "there is no job")


def test_a_header_says_what_format_is_below_it() -> None:
    disk = Content.new("base", SMALL, Raw()).snapshot("mid").add("other", QCOW2)

    assert disk.layer("mid").format == QCOW2
    assert disk.rebase("mid", "other").layer("mid").backing_format == "qcow2"
    assert disk.rebase("other", "base").layer("other").backing_format == "raw"
    assert disk.rebase("mid", None).layer("mid").backing_format is None
    small = Content.new("base", SMALL, Qcow2(4096)).write("A", (0,))
    assert small.snapshot("top").layer("top").format == Qcow2(4096)
    assert small.snapshot("top").unflushed == frozenset()


def test_an_abort_is_told_and_keeps_in_sync_only_what_was() -> None:
    disk = Content.new("base", SMALL, Qcow2(4096)).snapshot("top").write("B", (0,))
    running, ready = disk.active_commit("base"), disk.active_commit("base").ready()

    assert running.abort().ends == ready.abort().ends == (End("active-commit", "canceled"),)
    assert set(ready.abort().contains("base")[:4]) == {"B"}
    assert running.abort().contains("base") == running.contains("base")
    assert running.abort().contains("base") != ready.abort().contains("base")
