"""The own reader of snapshots inside images reads what QEMU has written, and refuses what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ImageError
from harness.oracle.geometry import Geometry
from harness.oracle.image import Raw
from harness.oracle.table import Table
from harness.readers.refcounts import Wrong
from harness.storage.images import image_at
from harness.tests.oracle.tools import READER, RUN, create, needs_qemu_img, qemu_img, write

pytestmark = needs_qemu_img
GEOMETRY = Geometry(cells=4)


def _made(directory: Path, *options: str) -> Path:
    """A disk of four cells: A and B at the first snapshot, C over A at the second, of twice the size; D since."""
    image = create(directory / "base.qcow2", "256k", *options)
    write(image, "A", (0, 65536))
    write(image, "B", (65536, 65536))
    qemu_img("snapshot", "-c", "early", image)
    write(image, "C", (0, 65536))
    if not options:
        qemu_img("resize", "-q", "-f", "qcow2", image, "512k")
    qemu_img("snapshot", "-c", "late", image)
    write(image, "D", (131072, 65536))
    return image


def test_each_snapshot_is_read_as_it_was(tmp_path: Path) -> None:
    image = image_at(str(_made(tmp_path)))
    found = READER.inside(image)
    table = Table(READER.measure([image], GEOMETRY, RUN), GEOMETRY)

    assert {name: (each.size, each.memory) for name, each in found.items()} == {
        "early": (262144, 0),
        "late": (524288, 0),
    }
    drawn = {row.name: table.drawn(row.contains) for row in table.rows}
    assert drawn == {"base": "CBD-", "base@early": "AB--", "base@late": "CB--"}
    assert [row.size for row in table.rows] == [524288, 262144, 524288]


def test_of_version_2_it_has_the_size_of_the_image(tmp_path: Path) -> None:
    found = READER.inside(image_at(str(_made(tmp_path, "compat=0.10"))))

    assert [each.size for each in found.values()] == [262144, 262144]


def test_a_raw_image_has_none(tmp_path: Path) -> None:
    assert READER.inside(image_at(str(_made(tmp_path)), Raw())) == {}


@pytest.mark.parametrize(
    ("at", "width", "value", "words"),
    [
        (0, 8, 77, "with an L1 table that cannot be"),
        (8, 4, 0, "with an L1 table that cannot be"),
        (0, 8, 1 << 40, "L1 table of snapshot early"),
        (36, 4, 1 << 30, "snapshot 0"),
    ],
)
def test_a_table_that_cannot_be_is_refused(tmp_path: Path, at: int, width: int, value: int, words: str) -> None:
    file = _made(tmp_path)
    header = READER.header(image_at(str(file)))
    assert header is not None
    data = bytearray(file.read_bytes())
    start = header.own.snapshots.offset + at
    data[start : start + width] = value.to_bytes(width)
    file.write_bytes(data)

    with pytest.raises(ImageError, match=words):
        READER.measure([image_at(str(file))], GEOMETRY, RUN)


def test_too_many_are_refused(tmp_path: Path) -> None:
    file = _made(tmp_path)
    data = bytearray(file.read_bytes())
    data[60:64] = (1 << 20).to_bytes(4)
    file.write_bytes(data)

    with pytest.raises(ImageError, match="has 1048576 snapshots inside: up to 16384 are read"):
        READER.inside(image_at(str(file)))


@pytest.mark.parametrize(
    ("wrong", "endangers"),
    [
        (Wrong(0, 1, 2), False),
        (Wrong(0, 2, 1), True),
        (Wrong(0, 1, 2, flags=True), False),
        (Wrong(0, 2, 2, flags=True), True),
        (Wrong(0, 1, 1, flags=True), False),
    ],
)
def test_what_endangers_data_is_told_from_what_does_not(wrong: Wrong, endangers: bool) -> None:
    assert wrong.endangers == endangers
