"""The own reader of dirty bitmaps reads what QEMU has written, and refuses what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ImageError
from harness.oracle.image import Raw
from harness.readers.bitmaps import StoredBitmap
from harness.storage.images import image_at
from harness.tests.oracle.tools import READER, create, needs_qemu_img, qemu_img, qemu_io

pytestmark = needs_qemu_img


def _made(directory: Path, granularity: int = 65536) -> Path:
    """An image of 1 MiB with the bitmap `ck`, written to at 64 KiB and at 640 KiB, and the bitmap `late`, to none."""
    image = create(directory / "base.qcow2", "1M")
    qemu_img("bitmap", "--add", "-g", str(granularity), "-f", "qcow2", str(image), "ck")
    qemu_io(image, "write -P 65 64k 4k", "write -P 66 640k 4k")
    qemu_img("bitmap", "--add", "-f", "qcow2", str(image), "late")
    return image


@pytest.mark.parametrize(("granularity", "dirty"), [(65536, {1, 10}), (4096, {16, 160}), (262144, {0, 2})])
def test_the_granules_that_were_written_to_are_read(tmp_path: Path, granularity: int, dirty: set[int]) -> None:
    found = READER.bitmaps(image_at(str(_made(tmp_path, granularity))))

    assert found["ck"] == StoredBitmap(granularity, frozenset(dirty), in_use=False, auto=True)
    assert found["late"] == StoredBitmap(65536, frozenset(), in_use=False, auto=True)


def test_a_raw_image_has_none(tmp_path: Path) -> None:
    assert READER.bitmaps(image_at(str(_made(tmp_path)), Raw())) == {}


def test_a_directory_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    file = _made(tmp_path)
    data = bytearray(file.read_bytes())
    at = data.index((0x23852875).to_bytes(4)) + 8
    data[at : at + 4] = (200).to_bytes(4)  # how many there are
    file.write_bytes(data)

    with pytest.raises(ImageError, match="has a directory of bitmaps that ends before bitmap 2"):
        READER.bitmaps(image_at(str(file)))
