"""What may be asked of a job besides: to delete files, to name them relatively, to go to a file that is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import pytest

from harness.oracle.content import Content, Impossible
from harness.oracle.geometry import Geometry
from harness.oracle.image import QCOW2, Qcow2, Raw
from harness.oracle.job import Job
from harness.oracle.parts import UNDEFINED
from harness.tests.oracle.disks import SMALL

CELL = Qcow2(SMALL.cell_size)
SUBCLUSTERS = Qcow2(131072, subclusters=True)


def chain(relative: Collection[str] = ()) -> Content:
    """Base <- l1 <- l2 <- l3 <- top, with A in base and B in top; those of `relative` name what they are on so."""
    disk = Content.new("base", SMALL, CELL).write("A", (0,))
    for below, name in (("base", "l1"), ("l1", "l2"), ("l2", "l3"), ("l3", "top")):
        disk = disk.add(name, CELL, below, relative=name in relative).reuse(name)
    return disk.write("B", (1,)).flush()


def job(disk: Content) -> Job:
    assert disk.job is not None
    return disk.job


def refused(do: Callable[[], object], words: str) -> None:
    """Refused in exactly these words."""
    with pytest.raises(Impossible, match=f"^{re.escape(words)}$"):
        do()


# files that are deleted


def test_a_commit_deletes_the_files_that_it_folds_when_it_is_asked_to() -> None:
    assert chain().commit("l2", "base", deletes=True).completed().files() == ("base", "l3", "top")
    assert chain().active_commit("l1", deletes=True).ready().pivot().files() == ("base", "l1")


def test_a_commit_that_is_aborted_deletes_nothing_and_no_other_job_does() -> None:
    assert chain().active_commit("l1", deletes=True).ready().abort().files() == chain().files()
    assert not job(chain().pull()).deletes
    assert not job(chain().copy("copy")).deletes


# backing files that are named relatively


def test_an_image_names_its_backing_file_relatively_only_if_it_was_asked_to() -> None:
    assert [name for name, layer in chain(("l2",)).layers.items() if layer.relative] == ["l2"]
    assert not chain().snapshot("more").layer("more").relative
    assert not chain(("l2",)).rebase("l2", "base").layer("l2").relative


def test_a_commit_names_its_base_relatively_if_it_was_asked_to_and_what_it_passes_does() -> None:
    disk = chain(("l2", "l3"))

    after = disk.commit("l2", "l1", relative=True).completed().layer("l3")
    assert (after.backing, after.relative) == ("l1", True)
    assert not disk.commit("l2", "l1").completed().layer("l3").relative
    refused(lambda: chain(("l3",)).commit("l2", "l1", relative=True), "l2 names no relative backing file")
    refused(lambda: chain().commit("l2", "l1", relative=True), "l2, l3 names no relative backing file")


def test_a_pull_names_its_base_relatively_if_it_was_asked_to_and_what_it_passes_does() -> None:
    disk = chain(("l3", "top"))

    after = disk.pull("l2", relative=True).completed().layer("top")
    assert (after.backing, after.relative) == ("l2", True)
    assert not disk.pull("l2").completed().layer("top").relative
    refused(lambda: chain(("top",)).pull("l2", relative=True), "l3 names no relative backing file")
    refused(lambda: disk.pull(relative=True), "there is no base to name")


# copies to a file that is there


def test_a_copy_goes_to_an_empty_file_that_is_there_and_as_large() -> None:
    full = chain().add("copy", CELL).copy("copy", reuse=True)
    shallow = chain().add("copy", CELL, "l3").copy("copy", shallow=True, reuse=True)

    assert (job(full).kind, job(full).target, job(full).base) == ("copy", "copy", None)
    assert full.ready().pivot().guest() == chain().guest()
    assert shallow.ready().contains("copy") == chain().contains("top")


def test_a_copy_goes_to_no_file_that_is_in_use_or_unlike_or_not_empty() -> None:
    beside = chain().add("empty", QCOW2).add("above", QCOW2, "l3").add("larger", QCOW2, size=SMALL.size * 2)
    words = "{} is no image that a copy of top may go to"

    refused(lambda: beside.copy("base", reuse=True), words.format("base"))
    refused(lambda: beside.copy("above", reuse=True), words.format("above"))
    refused(lambda: beside.copy("empty", shallow=True, reuse=True), words.format("empty"))
    refused(lambda: beside.copy("larger", reuse=True), words.format("larger"))
    refused(lambda: beside.write_image("empty", "C", (3,)).copy("empty", reuse=True), "empty is not empty")


@pytest.mark.parametrize(
    ("form", "made"),
    [
        (Raw(), Raw()),
        (Qcow2(131072, compat="0.10"), Qcow2(131072)),
        (SUBCLUSTERS, SUBCLUSTERS),
        (Qcow2(lazy_refcounts=True), QCOW2),
    ],
    ids=["raw", "of version 2", "subclusters", "lazy"],
)
def test_a_copy_is_made_as_its_disk_is_with_its_clusters_and_no_other_option(
    form: Qcow2 | Raw, made: Qcow2 | Raw
) -> None:
    assert Content.new("base", SMALL, form).copy("copy").layer("copy").format == made


# READY that nobody has heard of


def test_what_was_allocated_in_a_target_before_ready_was_heard_may_not_be_there_yet() -> None:
    """Of two writes both; what is written in place of data is there."""
    geometry = Geometry(cells=4)
    disk = Content.new("base", geometry).write("A", (0,)).snapshot("top").active_commit("base")
    disk = disk.write("B", (0,)).write("C", (1,)).write("D", (2,))
    cell = geometry.parts_per_cell

    def held(content: Content) -> list[object]:
        own = content.contains("base")
        return [own[number * cell] for number in range(3)]

    assert held(disk.ready()) == ["B", "C", "D"]
    assert held(disk.ready(earlier=True)) == ["B", UNDEFINED, UNDEFINED]
