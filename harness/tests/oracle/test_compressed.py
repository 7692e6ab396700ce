"""What compressing an image changes: clusters are data as a whole, or holes."""

from __future__ import annotations

import pytest

from harness.oracle.content import Content, Impossible
from harness.oracle.geometry import Geometry
from harness.oracle.image import Qcow2, Raw
from harness.oracle.parts import HOLE, UNDEFINED, ZERO, Part

SMALL = Geometry(cells=4, cell_size=65536, part_size=16384)


def disk(form: Qcow2 | Raw, **of_parts: Part) -> Content:
    """One image with 16 parts, HOLE but for those named: p3 is the fourth."""
    own = [of_parts.get(f"p{part}", HOLE) for part in range(SMALL.parts)]
    return Content.new("base", SMALL, form).holding("base", own)


def test_a_cluster_with_data_is_data_as_a_whole_and_one_of_zeros_is_a_hole() -> None:
    content = disk(Qcow2(), p1="A", p2=ZERO, p8=ZERO, p9=ZERO, p15="B")

    assert content.compress("base").contains("base") == (
        *(ZERO, "A", ZERO, ZERO),
        *(HOLE,) * 4,
        *(HOLE,) * 4,
        *(ZERO, ZERO, ZERO, "B"),
    )
    assert content.compress("base").shows("base")[1] == "A"


def test_what_is_compressed_together_is_a_cluster_and_not_a_subcluster() -> None:
    content = disk(Qcow2(cluster_size=1 << 19, subclusters=True), p0="A")

    assert content.compress("base").contains("base") == ("A", *(ZERO,) * 15)


def test_of_what_is_not_certain_nobody_knows_what_is_compressed() -> None:
    with pytest.raises(Impossible, match="what base holds is not certain"):
        disk(Qcow2(), p5=UNDEFINED).compress("base")


def test_neither_a_raw_image_nor_an_overlay_is_compressed() -> None:
    for content, name in ((disk(Raw()), "base"), (disk(Qcow2()).snapshot("over"), "over")):
        with pytest.raises(Impossible, match=f"{name} is no qcow2 image without a backing file"):
            content.compress(name)
