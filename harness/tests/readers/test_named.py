"""qemu-img is given no image that leads it out of the images' directory; given one, it would go."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import pytest

from harness.errors import ImageError
from harness.oracle.image import File, Image, Raw
from harness.process import Completed, run
from harness.readers.qemu_img import QemuImg
from harness.storage.formats import node
from harness.storage.images import image_at
from harness.storage.stores import protocol_node
from harness.tests.oracle.tools import create, needs_qemu_img, qemu_img

pytestmark = needs_qemu_img

SECRET = b"secret".ljust(65536, b"\1")
OUTSIDE = "cannot be opened: it lies outside|leads out of"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The images' directory, with cur.qcow2 in it; above it lies a file that is nobody's business."""
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "images").mkdir()
    create(tmp_path / "images/cur.qcow2", "64k")
    return tmp_path / "images"


def names(images: Path, backing: str, form: str = "raw") -> None:
    qemu_img("rebase", "-u", "-f", "qcow2", "-b", backing, "-F", form, images / "cur.qcow2")


def by_a_link(images: Path) -> None:
    (images / "link").symlink_to("../secret")
    names(images, "link")


def by_a_node(images: Path) -> None:
    secret = protocol_node(File(PurePosixPath(images.parent / "secret")))
    names(images, f"json:{json.dumps(node(Raw(), secret))}")


def in_the_middle(images: Path) -> None:
    create(images / "sn1.qcow2", "64k")
    qemu_img("rebase", "-u", "-f", "qcow2", "-b", "../secret", "-F", "raw", images / "sn1.qcow2")
    names(images, "sn1.qcow2", "qcow2")


def as_data(images: Path) -> None:
    options = f"data_file={images}/data.raw,data_file_raw=on"
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, images / "cur.qcow2", "64k")
    (images / "data.raw").unlink()
    (images / "data.raw").symlink_to("../secret")


def as_data_beside_qemu(images: Path) -> None:
    """What lies in QEMU's directory, not in the image's, is opened."""
    as_data(images)
    (images / "data.raw").unlink()
    (images / "data.raw").write_bytes(bytes(65536))
    qemu_img("amend", "-f", "qcow2", "-o", "data_file=secret", images / "cur.qcow2")
    (images / "secret").write_bytes(bytes(65536))


def by_a_format_that_is_guessed(images: Path) -> None:
    """QEMU's guess is vmdk, whose descriptor names another file."""
    extent = 'RW 128 FLAT "../secret" 0'
    (images / "base").write_text(
        f'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n{extent}\n'
    )
    names(images, "base", "vmdk")
    image = (images / "cur.qcow2").read_bytes()
    assert image.count(b"\xe2\x79\x2a\xca\0\0\0\x04vmdk") == 1
    (images / "cur.qcow2").write_bytes(
        image.replace(b"\xe2\x79\x2a\xca\0\0\0\x04vmdk", b"\x12\x34\x56\x78\0\0\0\x04vmdk")
    )


WAYS: dict[str, tuple[Callable[[Path], None], str]] = {
    "absolute": (lambda images: names(images, str(images.parent / "secret")), OUTSIDE),
    "dots": (lambda images: names(images, "../secret"), OUTSIDE),
    "link": (by_a_link, OUTSIDE),
    "json": (
        lambda images: names(
            images, f"json:{json.dumps(node(Raw(), {'driver': 'file', 'filename': str(images.parent / 'secret')}))}"
        ),
        "names a file that is not simply a path",
    ),
    "further down": (in_the_middle, r"secret: cannot be opened: .*\(the header of .*sn1.qcow2 names it\)"),
    "data file": (as_data, OUTSIDE),
    "data file beside QEMU": (as_data_beside_qemu, "names data file secret: QEMU would take its own directory"),
    "guessed format": (by_a_format_that_is_guessed, "names no format of its backing file .*base"),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_image_that_leads_elsewhere_is_refused_before_qemu_sees_it(images: Path, way: str) -> None:
    lead, problem = WAYS[way]
    lead(images)
    image = image_at(str(images / "cur.qcow2"))

    def never(command: Sequence[str], *, timeout: float, input_bytes: bytes | None = None) -> Completed:
        raise AssertionError(f"it was run, with {timeout} s and input {input_bytes!r}: {command}")

    looks: tuple[Callable[[Image], object], ...] = (
        QemuImg(never).shows,
        QemuImg(never).check,
        QemuImg(never).info_chain,
    )
    for look in looks:
        with pytest.raises(ImageError, match=problem):
            look(image)


@pytest.mark.parametrize("way", WAYS)
def test_qemu_by_itself_would_go_there(images: Path, way: str) -> None:
    WAYS[way][0](images)
    convert = ["qemu-img", "convert", "-O", "raw", str(images / "cur.qcow2"), str(images / "out")]
    run(convert, timeout=30, directory=images.parent).check()

    assert (images / "out").read_bytes() == SECRET


def test_a_chain_that_comes_back_has_an_end(images: Path) -> None:
    names(images, "cur.qcow2", "qcow2")

    with pytest.raises(ImageError, match="a backing chain without an end"):
        QemuImg(run).info_chain(image_at(str(images / "cur.qcow2")))


def test_one_image_alone_is_told_whatever_it_names(images: Path) -> None:
    names(images, "../secret")

    (info,) = QemuImg(run).info(image_at(str(images / "cur.qcow2")))
    assert str(info.backing).endswith("secret'))")
