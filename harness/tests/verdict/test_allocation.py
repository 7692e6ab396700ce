"""What an image can take at most is what it holds and the metadata for it, and no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.image import QCOW2, Format, Qcow2, Raw
from harness.oracle.layer import Layer
from harness.oracle.parts import HOLE, ZERO, Part
from harness.process import run
from harness.storage.formats import create_options
from harness.verdict.allocation import most_bytes, most_kept

FORMATS = [Qcow2(), Qcow2(cluster_size=4096), Qcow2(cluster_size=1 << 21), Qcow2(subclusters=True), Raw()]


def taken(tmp_path: Path, form: Format, geometry: Geometry, cells: range) -> int:
    """Bytes that an image takes which QEMU made and wrote to."""
    image = tmp_path / "image"
    options = [word for option in create_options(form) for word in ("-o", option)]
    create = ["qemu-img", "create", "-q", "-f", form.name, *options, str(image), str(geometry.disk_size)]
    run(create, timeout=60).check()
    writes = [w for cell in cells for w in ("-c", f"write {cell * geometry.cell_size} {geometry.cell_size}")]
    run(["qemu-io", "-f", form.name, *writes, str(image)], timeout=60).check()
    return image.stat().st_blocks * 512


@pytest.mark.parametrize("form", FORMATS, ids=str)
@pytest.mark.parametrize("cells", [range(0), range(5), range(64)], ids=lambda cells: f"{len(cells)} cells")
@pytest.mark.parametrize("tail", [0, 1 << 40, 1 << 46], ids=["small", "1 TiB", "64 TiB"])
def test_what_qemu_makes_is_no_more(tmp_path: Path, form: Format, cells: range, tail: int) -> None:
    if tail and form == Qcow2(cluster_size=4096):
        tail = min(tail >> 6, 1 << 38)  # the L1 table would be too large
    if isinstance(form, Raw):
        tail = min(tail, 1 << 43)  # ext4 has no larger files
    geometry = Geometry(64, part_size=2048, tail=tail)
    content = Content.new("base", geometry, form)
    if cells:
        content = content.write("A", cells)

    assert taken(tmp_path, form, geometry, cells) <= most_bytes(content.layer("base"), geometry)


@pytest.mark.parametrize(("before", "after"), [(1 << 40, 1 << 45), (1 << 45, 1 << 46), (1 << 20, 1 << 46)])
@pytest.mark.parametrize("form", [Qcow2(), Qcow2(cluster_size=1 << 21)], ids=str)
def test_a_disk_that_has_grown_may_keep_its_former_l1_table(
    tmp_path: Path, form: Format, before: int, after: int
) -> None:
    """From 32 to 64 TiB leaves 512 KiB behind: more than the slack of two clusters."""
    geometry = Geometry(12, part_size=4096)
    content = Content.new("base", geometry, form).write("A", range(12)).resize(after)

    taken(tmp_path, form, replace(geometry, tail=before - geometry.size), range(12))
    run(["qemu-img", "resize", "-q", "-f", "qcow2", str(tmp_path / "image"), str(after)], timeout=60).check()
    assert (tmp_path / "image").stat().st_blocks * 512 <= most_bytes(content.layer("base"), geometry)


def test_an_image_with_foreign_clusters_on_the_default_disk_is_more() -> None:
    """The case that a slack of 1 MiB let pass: 11 foreign clusters of 12 take 987,136 bytes."""
    empty = Content.new("base").layer("base")

    assert most_bytes(empty, Geometry()) < 987_136


def test_holes_of_a_disk_of_another_format_count_nothing() -> None:
    raw = replace(Content.new("base").layer("base"), format=Raw())

    assert most_bytes(raw, Geometry()) <= 4096


@pytest.mark.parametrize(
    ("cluster", "subclusters", "part", "own", "size", "clusters"),
    [
        # header, two L1 tables, L2 tables, data; refcount blocks and one more; the table of those
        (65536, False, 65536, (), 1 << 20, (1 + 2 + 0 + 0) + 2 + 1),
        (65536, False, 65536, ("A", ZERO, HOLE), 1 << 20, (1 + 2 + 1 + 2) + 2 + 1),
        (65536, False, 4096, ("A", "A", *(HOLE,) * 14, "A"), 1 << 20, (1 + 2 + 1 + 2) + 2 + 1),
        (65536, False, 1 << 28, ("A", "A"), 1 << 29, (1 + 2 + 1 + 2) + 2 + 1),
        (65536, True, 1 << 28, ("A", "A"), 1 << 29, (1 + 2 + 2 + 2) + 2 + 1),
        (4096, False, 1 << 21, ("A", "A"), 1 << 22, (1 + 2 + 2 + 2) + 2 + 1),
        (512, False, 512, ("A",) * 256, 1 << 22, (1 + 4 + 4 + 256) + 3 + 1),
        (512, False, 512, (), (1 << 21) + (1 << 15), (1 + 4 + 0 + 0) + 2 + 1),
        (512, False, 512, (), 1 << 34, (1 + 16384 + 0 + 0) + 66 + 2),
    ],
)
def test_the_metadata_are_those_of_the_format(
    cluster: int, subclusters: bool, part: int, own: tuple[Part, ...], size: int, clusters: int
) -> None:
    layer = Layer(own, None, size, Qcow2(cluster, subclusters))
    geometry = Geometry(cells=max(1, len(own)), cell_size=part, part_size=part)

    assert most_bytes(layer, geometry) == clusters * cluster + 2 * max(cluster, 4096)


def test_a_raw_image_has_its_data_and_the_block_that_qemu_allocates() -> None:
    content = Content.new("base", form=Raw()).write("A", (0, 3))

    assert most_bytes(content.layer("base"), Geometry()) == 2 * 65536 + 4096


def test_of_what_is_no_longer_in_use_two_clusters_or_blocks_are_kept_at_most() -> None:
    assert most_kept(QCOW2, 1 << 20) == (1 << 20) + 2 * 65536
    assert most_kept(Qcow2(512), 0) == 2 * 4096


def test_a_raw_image_of_a_disk_that_has_grown_has_what_a_mirror_copies_together_besides() -> None:
    content = Content.new("base", form=Raw()).write("A", (0, 3))
    layer = content.layer("base")
    grown = replace(layer, size=layer.size + 65536)

    assert most_bytes(grown, Geometry()) == most_bytes(layer, Geometry()) + 65536
