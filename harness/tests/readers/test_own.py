"""The reader reads what QEMU reads, of every kind of image that QEMU makes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from harness.errors import ImageError
from harness.oracle.image import QCOW2, Raw
from harness.oracle.table import Table, difference
from harness.readers.extents import Extent, Kind, opened
from harness.readers.own import Reader
from harness.readers.qcow2 import Qcow2
from harness.readers.qcow2_header import read_header
from harness.readers.rows import read_row
from harness.storage.images import image_at
from harness.tests.oracle.disks import seed_at_t0
from harness.tests.oracle.tools import (
    READER,
    RUN,
    as_qemu_maps,
    as_qemu_shows,
    create,
    images_at,
    needs_qemu_img,
    qemu_img,
    qemu_io,
    seed_paths,
)
from harness.waiting import now

pytestmark = needs_qemu_img

K, M = 1 << 10, 1 << 20


def plain(*options: str, size: str = "3M") -> Callable[[Path], Path]:
    """One image, written to in clusters, across them and in parts of them."""

    def make(directory: Path) -> Path:
        image = create(directory / "image.qcow2", size, *options)
        qemu_io(image, "write -P 65 0 64k", "write -P 66 200k 3k", "write -P 67 1M 130k", "write -P 68 2100k 512")
        return image

    return make


def on_backing(*options: str) -> Callable[[Path], Path]:
    """An overlay with data, parts of clusters, zeros and discards over a base with data."""

    def make(directory: Path) -> Path:
        base = create(directory / "base.qcow2", "3M", *options)
        qemu_io(base, "write -P 65 0 1M", "write -P 66 2M 100k")
        image = create(directory / "image.qcow2", "3M", *options, backing=base)
        qemu_io(image, "write -P 67 64k 64k", "write -P 68 300k 5k", "write -P 69 2040k 20k", "write -P 70 3000k 1k")
        if "compat=0.10" not in options:
            qemu_io(
                image, "write -z 128k 64k", "write -z 513k 3k", "discard 192k 64k", "discard 2M 64k", "discard 900k 1k"
            )
        return image

    return make


def zero_clusters_without_backing(directory: Path) -> Path:
    image = create(directory / "image.qcow2", "1M")
    qemu_io(
        image, "write -P 65 0 256k", "write -z 64k 64k", "write -z 512k 64k", "write -z -u 128k 64k", "discard 192k 64k"
    )
    return image


def compressed(*options: str) -> Callable[[Path], Path]:
    def make(directory: Path) -> Path:
        # a compressed write takes a whole cluster, or what there is of the last one
        size = "128k" if "cluster_size=2M" in options else "1000k"
        base = create(directory / "base.qcow2", "1M", *options)
        image = create(directory / "image.qcow2", size, *options, backing=base)
        qemu_io(base, "write -P 65 0 1M")
        text = directory / "text"
        text.write_bytes(b"".join(b"line %d\n" % number for number in range(20000))[: 128 * K])
        qemu_io(image, f"write -c -s {text} 0 128k")
        if size != "128k":
            qemu_io(image, "write -c -P 66 256k 64k", "write -P 67 300k 4k", "write -P 68 640k 64k")
        return image

    return make


def with_data_file(*options: str) -> Callable[[Path], Path]:
    def make(directory: Path) -> Path:
        image = create(directory / "image.qcow2", "1M", f"data_file={directory}/image.data", *options)
        qemu_io(
            image,
            "write -P 65 0 64k",
            "write -P 66 512k 100k",
            "write -z 576k 4k",
            "discard 0 64k",
            "write -P 67 900k 1k",
        )
        return image

    return make


def data_file_over_backing(directory: Path) -> Path:
    base = create(directory / "base.qcow2", "1M")
    qemu_io(base, "write -P 65 0 1M")
    image = create(directory / "image.qcow2", "1M", f"data_file={directory}/image.data", backing=base)
    qemu_io(image, "write -P 66 0 64k", "write -P 67 500k 64k", "write -z 64k 64k")
    return image


def raw_sparse_base(directory: Path) -> Path:
    base = directory / "base.raw"
    qemu_img("create", "-q", "-f", "raw", base, "2M")
    qemu_io(base, "write -P 65 64k 64k", "write -P 66 1M 4k", options=["-f", "raw"])
    image = create(directory / "image.qcow2", "2M", backing=base, fmt="raw")
    qemu_io(image, "write -P 67 100k 64k")
    return image


def raw_base_of_an_odd_length(directory: Path) -> Path:
    base = directory / "base.raw"
    base.write_bytes(b"A" * 100_001)
    image = create(directory / "image.qcow2", "1M", backing=base, fmt="raw")
    qemu_io(image, "write -P 67 0 1k")
    return image


def overlay_larger_than_backing(directory: Path) -> Path:
    base = create(directory / "base.qcow2", "1000k")
    qemu_io(base, "write -P 65 0 1000k")
    image = create(directory / "image.qcow2", "3M", backing=base)
    qemu_io(image, "write -P 66 996k 1k", "write -P 67 2M 64k")
    return image


def overlay_smaller_than_backing(directory: Path) -> Path:
    base = create(directory / "base.qcow2", "3M")
    qemu_io(base, "write -P 65 0 3M")
    image = create(directory / "image.qcow2", "1000k", backing=base)
    qemu_io(image, "write -P 66 900k 10k")
    return image


def large_over_small_over_large(directory: Path) -> Path:
    """The small image in the middle cuts off what the base has past its end."""
    base = create(directory / "base.qcow2", "2M")
    qemu_io(base, "write -P 65 0 2M")
    middle = create(directory / "middle.qcow2", "1M", backing=base)
    return create(directory / "image.qcow2", "2M", backing=middle)


def relative_backing_names(directory: Path) -> Path:
    (directory / "below").mkdir()
    base = create(directory / "below" / "base.qcow2", "1M")
    qemu_io(base, "write -P 65 0 100k")
    middle = directory / "below" / "middle.qcow2"
    create(middle, "1M", backing="base.qcow2")
    qemu_io(middle, "write -P 66 64k 64k")
    return create(directory / "image.qcow2", "1M", backing="below/middle.qcow2")


def internal_snapshot(directory: Path) -> Path:
    image = create(directory / "image.qcow2", "1M")
    qemu_io(image, "write -P 65 0 256k")
    qemu_img("snapshot", "-c", "then", image)
    qemu_io(image, "write -P 66 64k 64k", "write -z 128k 64k")
    return image


def four_layers(directory: Path) -> Path:
    below = None
    for number in range(4):
        below = create(directory / f"layer{number}.qcow2", "1M", backing=below)
        qemu_io(below, f"write -P {65 + number} {number * 100}k 150k")
    assert below is not None
    return below


def format_of_backing_not_named(directory: Path) -> Path:
    """Old tools wrote no format of the backing file: QEMU looks at its first bytes."""
    image = on_backing("compat=0.10")(directory)
    qemu_img("rebase", "-u", "-b", "", image)
    data = bytearray(image.read_bytes())
    name = str(directory / "base.qcow2").encode()
    data[8:20] = (4096).to_bytes(8, "big") + len(name).to_bytes(4, "big")
    data[4096 : 4096 + len(name)] = name
    image.write_bytes(data)
    return image


def odd_size(size: int, *options: str) -> Callable[[Path], Path]:
    """A virtual size that is no multiple of a sector, on a base that has one, too: no tool of QEMU's makes that."""

    def make(directory: Path) -> Path:
        base = create(directory / "base.qcow2", "1M", *options)
        qemu_io(base, "write -P 65 0 1M")
        image = create(directory / "image.qcow2", "1M", *options, backing=base)
        qemu_io(image, "write -P 66 256k 256k", "write -P 67 700k 300k")
        for path, less in ((base, 77_777), (image, 0)):
            data = bytearray(path.read_bytes())
            data[24:32] = max(0, size - less).to_bytes(8, "big")
            path.write_bytes(data)
        return image

    return make


IMAGES: dict[str, Callable[[Path], Path]] = {
    "default": plain(),
    "512-byte clusters": plain("cluster_size=512"),
    "4k clusters": plain("cluster_size=4k"),
    "2M clusters": plain("cluster_size=2M"),
    "a size that is no multiple of the cluster": plain("cluster_size=2M", size="3073k"),
    "version 2": plain("compat=0.10"),
    "extended L2": plain("extended_l2=on,cluster_size=64k"),
    "extended L2 with 16k clusters": plain("extended_l2=on,cluster_size=16k"),
    "lazy refcounts": plain("lazy_refcounts=on"),
    "64-bit refcounts": plain("refcount_bits=64"),
    "preallocated metadata": plain("preallocation=metadata"),
    "preallocated fully": plain("preallocation=falloc"),
    "overlay": on_backing(),
    "overlay of 512-byte clusters": on_backing("cluster_size=512"),
    "overlay of 4k clusters": on_backing("cluster_size=4k"),
    "overlay of 2M clusters": on_backing("cluster_size=2M"),
    "overlay of version 2": on_backing("compat=0.10"),
    "overlay with extended L2": on_backing("extended_l2=on,cluster_size=128k"),
    "overlay with extended L2, 2M clusters": on_backing("extended_l2=on,cluster_size=2M"),
    "zero clusters without backing": zero_clusters_without_backing,
    "compressed": compressed(),
    "compressed, 4k clusters": compressed("cluster_size=4k"),
    "compressed, 2M clusters": compressed("cluster_size=2M"),
    "compressed, version 2": compressed("compat=0.10"),
    "compressed, extended L2": compressed("extended_l2=on"),
    "data file": with_data_file(),
    "raw data file": with_data_file("data_file_raw=on"),
    "data file, extended L2": with_data_file("extended_l2=on"),
    "data file over backing": data_file_over_backing,
    "raw sparse base": raw_sparse_base,
    "raw base of an odd length": raw_base_of_an_odd_length,
    "overlay larger than backing": overlay_larger_than_backing,
    "overlay smaller than backing": overlay_smaller_than_backing,
    "large over small over large": large_over_small_over_large,
    "relative backing names": relative_backing_names,
    "internal snapshot": internal_snapshot,
    "four layers": four_layers,
    "an odd size": odd_size(1_000_001),
    "an odd size, one byte short": odd_size((1 << 20) - 1, "cluster_size=512"),
    "an odd size, extended L2": odd_size(777_777, "extended_l2=on"),
    "less than a sector": odd_size(300),
    "format of backing not named": format_of_backing_not_named,
}


@pytest.mark.parametrize("make", IMAGES.values(), ids=IMAGES.keys())
def test_the_reader_agrees_with_qemu(make: Callable[[Path], Path], tmp_path: Path) -> None:
    image = make(tmp_path)
    assert READER.shows(image_at(str(image))) == as_qemu_shows(image)
    assert READER.own(image_at(str(image))) == as_qemu_maps(image)


def test_own_data_is_the_data_that_the_image_itself_holds(tmp_path: Path) -> None:
    image = four_layers(tmp_path)

    data = READER.read_own(image_at(str(image)))
    assert data[: 256 * K] == bytes(256 * K)
    assert data[256 * K : 300 * K] == b"C" * (44 * K)  # copied from below: a cluster is allocated as a whole
    assert data[300 * K : 450 * K] == b"D" * (150 * K)
    assert data[512 * K :] == bytes(512 * K)


def test_the_chain_is_read_from_the_headers_base_first(tmp_path: Path) -> None:
    image = four_layers(tmp_path)

    assert [path.name for path in READER.chain(image_at(str(image)))] == [f"layer{number}.qcow2" for number in range(4)]


def test_paths_are_resolved_before_they_are_opened(tmp_path: Path) -> None:
    """The headers name paths as the stack sees them; here they are elsewhere."""
    image = four_layers(tmp_path)
    for number in range(1, 4):
        qemu_img(
            "rebase", "-u", "-F", "qcow2", "-b", f"/disks/layer{number - 1}.qcow2", tmp_path / f"layer{number}.qcow2"
        )
    reader = Reader(lambda path: tmp_path / path.relative_to("/disks"))

    assert reader.chain(image_at("/disks/layer3.qcow2"))[0] == PurePosixPath("/disks/layer0.qcow2")
    assert reader.shows(image_at("/disks/layer3.qcow2"))[: 100 * K] == b"A" * (100 * K)
    assert image.exists()


def test_a_raw_image_is_read_by_its_own_when_it_is_named_as_raw(tmp_path: Path) -> None:
    raw_sparse_base(tmp_path)
    base = image_at(str(tmp_path / "base.raw"), Raw())

    assert READER.own(base) == [
        Extent(0, 4 * K, Kind.DATA),  # qemu-img allocates the first block
        Extent(4 * K, 60 * K, Kind.HOLE),
        Extent(64 * K, 64 * K, Kind.DATA),
        Extent(128 * K, 896 * K, Kind.HOLE),
        Extent(M, 4 * K, Kind.DATA),
        Extent(M + 4 * K, M - 4 * K, Kind.HOLE),
    ]
    assert READER.shows(base) == as_qemu_shows(tmp_path / "base.raw", "raw")
    with pytest.raises(ImageError, match="is no qcow2 image: it begins with 00 00 00 00"):
        READER.own(replace(base, format=QCOW2))


def test_an_image_of_a_running_writer_is_read_without_locks(tmp_path: Path) -> None:
    """A file that grows while it is open is not taken for one that is cut off."""
    image = plain()(tmp_path)
    with opened(image, "image") as file:
        before = file.size
        qemu_io(image, "write -P 70 2560k 64k")
        assert image.stat().st_size > before
        runs = list(Qcow2(file, read_header(file), file).runs())
        assert runs[-2].extent.offset == 2560 * K


def test_the_documented_chain_is_measured_faster_than_qemu_img_maps_it(tmp_path: Path) -> None:
    """Four layers of 768 KiB, contents and views; the best of many of each, in turn, as other work may run beside."""
    paths = seed_paths(tmp_path)
    disk = seed_at_t0()

    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(10):
        began = now()
        rows = READER.measure(images_at(paths), disk.geometry, RUN, disk)
        ours.append(now() - began)
        assert difference(disk.table(guest=False), Table(rows, disk.geometry)) == ""
        began = now()
        for path in paths.values():
            qemu_img("map", str(path))
        theirs.append(now() - began)
    assert min(ours) < min(theirs)


def test_what_the_guest_read_becomes_a_row_and_what_was_never_written_is_drawn_as_a_hole(tmp_path: Path) -> None:
    paths = seed_paths(tmp_path)
    disk = seed_at_t0()
    data = READER.shows(image_at(paths["cur"]))

    guest = read_row("guest", data, disk.geometry, RUN, disk.guest(), disk.size)
    table = Table((*READER.measure(images_at(paths), disk.geometry, RUN, disk), guest), disk.geometry)
    assert str(table) == str(disk.table())
    short = read_row("guest", data[:-512], disk.geometry, RUN, disk.guest())
    assert short.beyond == "the disk ends at byte 785920"
