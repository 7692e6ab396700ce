"""qemu-img makes, checks and measures; both readers give the same table, and the table is the oracle's."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest

from harness.errors import CheckFailed, CommandFailed, ImageError
from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.image import File
from harness.oracle.table import Table, difference
from harness.process import Completed, run
from harness.readers.qemu_img import ImageInfo, QemuImg
from harness.storage.images import image_at
from harness.tests.oracle.disks import seed_at_t0
from harness.tests.oracle.tools import (
    READER,
    RUN,
    create,
    images_at,
    needs_qemu_img,
    qemu_img,
    qemu_io,
    seed_paths,
    write,
)
from harness.tests.readers.qemu_img_reader import QemuImgReader

pytestmark = needs_qemu_img

CELL = 65536
QEMU = QemuImg(run)


def test_an_image_is_told_with_its_backing_file_as_qemu_resolves_it(tmp_path: Path) -> None:
    base, overlay = tmp_path / "base.raw", tmp_path / "cur.qcow2"
    qemu_img("create", "-q", "-f", "raw", base, "1M")
    qemu_img("create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", overlay)

    top, bottom = QEMU.info_chain(image_at(str(overlay)))
    stores = File(PurePosixPath(overlay)), File(PurePosixPath(base))
    assert top == ImageInfo(stores[0], "qcow2", 1 << 20, top.actual_size, stores[1], "raw", "base.raw")
    assert bottom == ImageInfo(stores[1], "raw", 1 << 20, bottom.actual_size, None, None)
    assert 0 < top.actual_size < 1 << 20


def test_a_sound_image_passes_the_check_and_a_broken_or_leaking_one_does_not(tmp_path: Path) -> None:
    path = create(tmp_path / "image.qcow2", "1M")
    qemu_io(path, "write -P 65 0 64k")
    QEMU.check(image_at(str(path)))

    sound = path.read_bytes()
    path.write_bytes(sound[:131072] + (2).to_bytes(2, "big") + sound[131074:])
    with pytest.raises(CheckFailed, match="1 leaks"):
        QEMU.check(image_at(str(path)))
    path.write_bytes(sound[:131072] + bytes(65536) + sound[196608:])
    with pytest.raises(CheckFailed, match="corruptions"):
        QEMU.check(image_at(str(path)))


def test_what_is_no_image_is_refused_with_the_words_of_qemu_img(tmp_path: Path) -> None:
    (tmp_path / "image.qcow2").write_bytes(b"nothing of the kind" * 100)

    for look in (QEMU.check, QEMU.shows, QEMU.info_chain):
        with pytest.raises(CommandFailed, match="Image is not in qcow2 format"):
            look(image_at(str(tmp_path / "image.qcow2")))
    assert [file.name for file in tmp_path.iterdir()] == ["image.qcow2"]


def test_everything_that_reads_forces_the_share_and_has_a_deadline(tmp_path: Path) -> None:
    seen: list[tuple[Sequence[str], float]] = []

    def watching(command: Sequence[str], *, timeout: float, input_bytes: bytes | None = None) -> Completed:
        seen.append((command, timeout))
        return run(command, timeout=timeout, input_bytes=input_bytes)

    image = image_at(str(create(tmp_path / "image.qcow2", "1M")))
    tool = QemuImg(watching)
    tool.check(image)
    tool.info_chain(image)
    tool.shows(image)

    assert all("-U" in command for command, _ in seen)
    assert {command[1] for command, _ in seen} == {"check", "info", "convert"}
    assert {timeout for _, timeout in seen} == {60.0}


def test_what_lies_where_the_disk_is_converted_to_is_left_alone(tmp_path: Path) -> None:
    """A link there would have led qemu-img, and then us, to another file."""
    image = create(tmp_path / "image.qcow2", "1M")
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / ".image.qcow2.shown").symlink_to("other")

    with pytest.raises(ImageError, match=r"image.qcow2: cannot be converted: .*/.image.qcow2.shown is in the way"):
        QEMU.shows(image_at(str(image)))
    assert (tmp_path / "other").read_bytes() == b"other"
    assert (tmp_path / ".image.qcow2.shown").is_symlink()


def test_a_disk_that_memory_does_not_hold_is_not_read(tmp_path: Path) -> None:
    image = create(tmp_path / "image.qcow2", "8T")

    with pytest.raises(ImageError, match=r"image.qcow2: is a disk of 8796093022208 bytes; up to 1073741824 are read"):
        QEMU.shows(image_at(str(image)))
    assert [file.name for file in tmp_path.iterdir()] == ["image.qcow2"]


def both(paths: dict[str, PurePosixPath], disk: Content) -> Table:
    """The table on which both readers agree."""
    images = images_at(paths)
    mine = Table(READER.measure(images, disk.geometry, RUN, disk), disk.geometry)
    theirs = Table(QemuImgReader(QEMU).measure(images, disk.geometry, RUN, disk), disk.geometry)
    assert mine == theirs
    return mine


def test_both_readers_measure_the_documented_table(tmp_path: Path) -> None:
    seen = both(seed_paths(tmp_path), seed_at_t0())

    assert str(seen) == str(seed_at_t0().table(guest=False))
    assert difference(seed_at_t0().table(guest=False), seen) == ""


def test_a_file_that_lost_its_backing_file_is_measured_without_what_it_shows(tmp_path: Path) -> None:
    paths = seed_paths(tmp_path)
    disk = seed_at_t0().active_commit("base").ready().pivot().remove("sn1")
    qemu_img("commit", "-q", "-d", "-b", paths["base"].as_posix(), paths["cur"].as_posix())
    Path(paths.pop("sn1")).unlink()

    seen = both(paths, disk)
    sn2 = seen.row("sn2")
    assert sn2 is not None
    assert (sn2.backing, sn2.shows) == ("sn1", None)
    assert difference(disk.table(guest=False), seen) == ""


def test_a_backing_file_of_the_right_name_in_the_wrong_place_is_a_difference(tmp_path: Path) -> None:
    paths = seed_paths(tmp_path)
    (tmp_path / "other").mkdir()
    elsewhere = tmp_path / "other" / "sn1.qcow2"
    elsewhere.write_bytes(Path(paths["sn1"]).read_bytes())
    qemu_img("rebase", "-u", "-F", "qcow2", "-b", elsewhere, paths["sn2"].as_posix())

    said = difference(seed_at_t0().table(guest=False), both(paths, seed_at_t0()))
    assert said == f"sn2 should have sn1 as backing file, has {elsewhere}"


def test_one_wrong_sector_in_a_layer_is_found_by_both_readers(tmp_path: Path) -> None:
    paths = seed_paths(tmp_path)
    qemu_io(Path(paths["sn1"]), f"write -P 0x37 {3 * CELL + 1024} 512")

    said = difference(seed_at_t0().table(guest=False), both(paths, seed_at_t0()))
    assert "sn1 contains: cell 3, its bytes 0-4095, should be B, is torn: sectors 0-1 layer B, sector 2 foreign" in said
    assert "sn2 shows: cell 3, its bytes 0-4095," in said


def test_one_flipped_bit_is_found_by_both_readers(tmp_path: Path) -> None:
    paths = seed_paths(tmp_path)
    data = bytearray(Path(paths["cur"]).read_bytes())
    data[data.index(b"chainproof D") + 3000] ^= 1
    Path(paths["cur"]).write_bytes(data)

    said = difference(seed_at_t0().table(guest=False), both(paths, seed_at_t0()))
    assert "cur contains: cell 0, its bytes 0-4095, should be D, is torn" in said


def test_stale_shifted_and_foreign_cells_are_told_apart(tmp_path: Path) -> None:
    paths = seed_paths(tmp_path)
    image = Path(paths["cur"])
    (tmp_path / "shifted").write_bytes(READER.shows(image_at(paths["cur"]))[6 * CELL : 7 * CELL])
    qemu_io(image, f"write -s {tmp_path}/shifted {1 * CELL} 64k", f"discard {8 * CELL} 64k")
    write(image, "Z", (2 * CELL, CELL))

    said = difference(seed_at_t0().table(guest=False), both(paths, seed_at_t0()))
    assert "cell 1 should be a hole, is layer C's cell 6 (byte 393216 of the disk): shifted" in said
    assert "cell 2 should be a hole, is Z" in said
    assert "cell 8 should be D, is zero" in said


def test_bytes_past_the_last_cell_are_found(tmp_path: Path) -> None:
    path = create(tmp_path / "base.qcow2", str(13 * CELL))
    disk = Content.new("base", Geometry(tail=CELL))
    assert difference(disk.table(guest=False), both({"base": PurePosixPath(path)}, disk)) == ""

    write(path, "A", (12 * CELL + 8192, 4096))
    said = difference(disk.table(guest=False), both({"base": PurePosixPath(path)}, disk))
    assert said.endswith("base past its last cell: byte 794624 of the disk is A")
