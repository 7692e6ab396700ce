"""Formats are spelt so that qemu-img makes what the value says; an image is one file name."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest

from harness.oracle.image import Block, File, Format, Image, Nbd, Qcow2, Raw
from harness.storage.formats import create_options, node, suffix
from harness.storage.images import file_image, image_at, image_in, unlocked
from harness.tests.oracle.tools import create, needs_qemu_img, qemu_img, qemu_io

FORMATS: tuple[Qcow2, ...] = (
    Qcow2(),
    Qcow2(cluster_size=4096),
    Qcow2(cluster_size=131072, subclusters=True),
    Qcow2(compat="0.10"),
    Qcow2(lazy_refcounts=True),
    Qcow2(compression="zstd"),
    Qcow2(refcount_bits=1),
    Qcow2(refcount_bits=64),
)


@needs_qemu_img
@pytest.mark.parametrize("image_format", FORMATS, ids=str)
def test_qemu_img_makes_what_the_value_says(image_format: Qcow2, tmp_path: Path) -> None:
    path = create(tmp_path / "image", "1M", *create_options(image_format))
    info = json.loads(qemu_img("info", "--output=json", path))
    details = info["format-specific"]["data"]

    assert info["format"] == image_format.name
    assert info["cluster-size"] == image_format.cluster_size
    assert details["refcount-bits"] == image_format.refcount_bits
    assert details["compat"] == image_format.compat
    assert details.get("extended-l2", False) is image_format.subclusters
    assert details.get("lazy-refcounts", False) is image_format.lazy_refcounts
    assert details.get("compression-type", "zlib") == image_format.compression


@needs_qemu_img
def test_a_data_file_is_named_with_its_commas(tmp_path: Path) -> None:
    data = tmp_path / "da,ta.raw"
    options = create_options(Qcow2(data_file="data"), str(data))
    path = create(tmp_path / "image", "1M", *options)

    assert json.loads(qemu_img("info", "--output=json", path))["format-specific"]["data"]["data-file"] == str(data)


def test_what_is_the_default_is_not_spelt() -> None:
    assert create_options(Qcow2()) == create_options(Raw()) == ()


def test_a_width_of_refcounts_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="refcounts of 3 bits"):
        Qcow2(refcount_bits=3)


def test_a_data_file_that_has_no_place_or_no_need_is_refused() -> None:
    for image_format, data_file in ((Qcow2(data_file="data"), None), (Qcow2(), "/d"), (Raw(), "/d")):
        with pytest.raises(ValueError, match="data file"):
            create_options(image_format, data_file)


def test_a_node_of_qcow2_says_what_is_beneath_and_one_of_raw_has_nothing() -> None:
    assert node(Qcow2(), "f", "b", "d") == {"driver": "qcow2", "file": "f", "backing": "b", "data-file": "d"}
    assert node(Qcow2(), {"driver": "file"}) == {"driver": "qcow2", "file": {"driver": "file"}, "backing": None}
    assert node(Raw(), "f") == {"driver": "raw", "file": "f"}
    with pytest.raises(ValueError, match="neither backing file nor data file"):
        node(Raw(), "f", "b")


@pytest.mark.parametrize(("image_format", "name"), [(Qcow2(), "sn1.qcow2"), (Raw(), "sn1.raw")])
def test_an_image_lies_in_a_file_of_its_name(image_format: Format, name: str) -> None:
    path = PurePosixPath("/images") / name

    assert suffix(image_format) == path.suffix
    assert file_image(PurePosixPath("/images"), "sn1", image_format) == image_at(path, image_format)


def test_an_image_is_found_by_where_it_lies() -> None:
    images = [image_at("/a/base"), Image("sn1", Raw(), Nbd(PurePosixPath("/s"), "e"))]

    assert image_in(Block(PurePosixPath("/a/base")), images) == images[0]
    assert image_in(Nbd(PurePosixPath("/s"), "e"), images) == images[1]
    assert image_in(File(PurePosixPath("/a/other")), images) is None


@needs_qemu_img
def test_a_chain_is_one_file_name_whatever_the_headers_say(tmp_path: Path) -> None:
    base = image_at(PurePosixPath(tmp_path / "ba,se ü:1.raw"), Raw())
    qemu_img("create", "-q", "-f", "raw", tmp_path / "ba,se ü:1.raw", "64k")
    qemu_io(tmp_path / "ba,se ü:1.raw", "write -P 65 0 64k", options=["-f", "raw"])
    create(tmp_path / "cur.qcow2", "64k")

    qemu_img(
        "convert", "-O", "raw", unlocked([image_at(PurePosixPath(tmp_path / "cur.qcow2")), base]), tmp_path / "out"
    )
    assert (tmp_path / "out").read_bytes() == b"A" * 65536
