"""A broken image is refused with one clear sentence: no traceback of struct, no hang, no invented bytes."""

import json
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from harness.errors import CommandFailed, ImageError
from harness.readers import zstd
from harness.storage.images import image_at
from harness.tests.oracle.tools import READER, as_qemu_shows, create, needs_qemu_img, qemu_img, qemu_io
from harness.waiting import now

pytestmark = needs_qemu_img

K, M = 1 << 10, 1 << 20
CLUSTER = 64 * K
L1, L2, DATA = 3 * CLUSTER, 4 * CLUSTER, 5 * CLUSTER  # where qemu-img 7.2 puts them in a new image


def small(directory: Path, *options: str) -> Path:
    """An image of 1 MiB with data in its first two clusters."""
    image = create(directory / "image.qcow2", "1M", *options)
    qemu_io(image, "write -P 65 0 128k")
    return image


def put(offset: int, fmt: str, value: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        struct.pack_into(fmt, data, offset, value)

    return change


def cut(length: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        del data[length:]

    return change


BROKEN: dict[str, tuple[Callable[[bytearray], None], str]] = {
    "empty": (cut(0), "is no qcow2 image: it ends after 0 bytes"),
    "cut in the header": (cut(50), "is no qcow2 image: it ends after 50 bytes"),
    "cut in the version 3 header": (cut(90), "the header reaches to byte 104, beyond the end"),
    "cut before the L1 table": (cut(CLUSTER), "the L1 table reaches to byte"),
    "cut before the L2 table": (cut(L2 + 4), "the L2 table of disk byte 0 reaches to byte"),
    "cut before the data": (cut(DATA), "the cluster of disk byte 0 reaches to byte"),
    "magic": (put(0, ">I", 0x51464900), "is no qcow2 image: it begins with 51 46 49 00"),
    "version": (put(4, ">I", 4), "is of version 4"),
    "cluster bits too small": (put(20, ">I", 8), r"has clusters of 2\^8 bytes"),
    "cluster bits too large": (put(20, ">I", 63), r"has clusters of 2\^63 bytes"),
    "cluster bits absurd": (put(20, ">I", 0xFFFFFFFF), r"has clusters of 2\^4294967295 bytes"),
    "size beyond the L1 table": (put(24, ">Q", 1 << 50), "has 1 L1 entries; its virtual size takes"),
    "size beyond any": (put(24, ">Q", 1 << 63), "claims a virtual size of 9223372036854775808 bytes"),
    "AES": (put(32, ">I", 1), r"is encrypted \(AES\)"),
    "LUKS": (put(32, ">I", 2), r"is encrypted \(LUKS\)"),
    "too many L1 entries": (put(36, ">I", 0xFFFFFFFF), "more than QEMU allows"),
    "no L1 entries": (put(36, ">I", 0), "has 0 L1 entries; its virtual size takes 1"),
    "L1 table off a boundary": (put(40, ">Q", L1 + 8), "has its L1 table at byte 196616, which is no cluster boundary"),
    "L1 table beyond the end": (put(40, ">Q", 1 << 40), "the L1 table reaches to byte"),
    "corrupt bit": (put(72, ">Q", 2), "is marked as corrupt"),
    "unknown feature": (put(72, ">Q", 1 << 40), "has incompatible features that are not known: 0x10000000000"),
    "data file without a name": (put(72, ">Q", 4), "has an external data file, but does not name it"),
    "compression without a type": (put(72, ">Q", 8), "has a type of compression that is not known: 0"),
    "unknown compression": (lambda data: (put(72, ">Q", 8)(data), put(104, ">B", 7)(data))[0], "is not known: 7"),
    "refcount order": (put(96, ">I", 7), r"has refcounts of 2\^7 bits"),
    "header length too small": (put(100, ">I", 8), "has a header of 8 bytes"),
    "header length too large": (put(100, ">I", 1 << 30), "has a header of 1073741824 bytes"),
    "backing name of no length": (put(8, ">Q", 600), "has a backing file name of 0 bytes"),
    "extension too long": (put(116, ">I", 1 << 31), "has a header extension 0x6803f857 of 2147483648 bytes"),
    "L2 table off a boundary": (
        put(L1, ">Q", L2 + 512),
        "the L2 table of L1 entry 0 at byte 262656 is no cluster boundary",
    ),
    "L2 table beyond the end": (put(L1, ">Q", 1 << 50), "the L2 table of disk byte 0 reaches to byte"),
    "data off a boundary": (
        put(L2, ">Q", DATA + 512),
        "the cluster of disk byte 0 lies at 328192, no cluster boundary",
    ),
    "data beyond the end": (put(L2, ">Q", 1 << 50), "the cluster of disk byte 0 reaches to byte"),
    "compressed data beyond the end": (
        put(L2 + 8, ">Q", 1 << 62 | 1 << 40),
        "the compressed cluster of disk byte 65536",
    ),
    "compressed data that is none": (
        put(L2 + 8, ">Q", 1 << 62 | DATA),
        "cannot be decompressed|holds .* bytes instead of",
    ),
}


@pytest.mark.parametrize(("change", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_image_is_refused_with_one_sentence(
    change: Callable[[bytearray], None], words: str, tmp_path: Path
) -> None:
    image = small(tmp_path)
    data = bytearray(image.read_bytes())
    change(data)
    image.write_bytes(data)

    with pytest.raises(ImageError, match=words) as caught:
        READER.shows(image_at(str(image)))
    assert str(caught.value).startswith(f"{image}: ")
    assert "\n" not in str(caught.value)


def test_an_l2_table_that_is_in_use_twice_is_refused(tmp_path: Path) -> None:
    image = create(tmp_path / "image.qcow2", "1M", "cluster_size=512")
    qemu_io(image, "write -P 65 0 128k")
    data = bytearray(image.read_bytes())
    (table,) = struct.unpack_from(">Q", data, 40)
    data[table + 8 : table + 16] = data[table : table + 8]
    image.write_bytes(data)

    with pytest.raises(ImageError, match="is in use twice"):
        READER.own(image_at(str(image)))


def test_a_compressed_cluster_that_unpacks_to_too_little_is_refused_and_to_too_much_is_cut(tmp_path: Path) -> None:
    """The second as QEMU does; it also bounds what a few bytes can make us hold."""
    image = small(tmp_path)
    for length, problem in ((100, "holds 100 bytes instead of 65536"), (1 << 27, "")):
        data = bytearray(image.read_bytes())[: 7 * CLUSTER]
        packer = zlib.compressobj(9, zlib.DEFLATED, -12)
        packed = packer.compress(bytes(length)) + packer.flush()
        sectors = -(-len(packed) // 512)
        data[L2 : L2 + 8] = struct.pack(">Q", 1 << 62 | min(sectors, 255) << 54 | 7 * CLUSTER)
        image.write_bytes(data + packed)
        if problem:
            with pytest.raises(ImageError, match=problem):
                READER.shows(image_at(str(image)))
        else:
            assert READER.shows(image_at(str(image)))[:CLUSTER] == bytes(CLUSTER)


def test_the_dirty_bit_of_an_image_in_use_is_tolerated(tmp_path: Path) -> None:
    image = small(tmp_path, "lazy_refcounts=on")
    data = bytearray(image.read_bytes())
    data[79] = 1
    image.write_bytes(data)

    assert READER.shows(image_at(str(image))) == b"A" * 128 * K + bytes(M - 128 * K)


def test_a_zero_cluster_in_version_2_is_refused(tmp_path: Path) -> None:
    image = small(tmp_path, "compat=0.10")
    data = bytearray(image.read_bytes())
    data[L2 + 7] |= 1
    image.write_bytes(data)

    with pytest.raises(ImageError, match="has a zero cluster at disk byte 0, which version 2 does not know"):
        READER.own(image_at(str(image)))


def test_an_extended_entry_that_is_both_data_and_zero_is_refused(tmp_path: Path) -> None:
    image = small(tmp_path, "extended_l2=on")
    data = bytearray(image.read_bytes())
    data[L2 + 8 : L2 + 12] = b"\xff" * 4
    image.write_bytes(data)

    with pytest.raises(ImageError, match="has an L2 entry that cannot be for disk byte 0"):
        READER.own(image_at(str(image)))


@pytest.mark.parametrize(
    ("name", "fmt", "words"),
    [
        ("nowhere.qcow2", "qcow2", "cannot be opened: No such file or directory"),
        (".", "raw", "is no regular file: it is a directory"),
        ("base.vmdk", "vmdk", "has a backing file of format vmdk; qcow2, raw, luks are known"),
        ("new\nline", "raw", r"new\\nline: cannot be opened: No such file or directory \(the header of "),
        ("\x1b[2Jx:y", "raw", r"x1b\[2Jx:y: cannot be opened"),
        ("a:\n", "raw", r"names a file that is not simply a path: a:\\n$"),
        ("image", "q\ncow", r"has a backing file of format q\\ncow; qcow2, raw, luks are known"),
        ("nbd://localhost/x", "raw", "names a file that is not simply a path: nbd://localhost/x"),
        (json.dumps({"driver": "qcow2"}), "qcow2", "cannot be opened"),
        ("image.qcow2", "qcow2", "has a backing chain that comes back to"),
    ],
)
def test_a_backing_file_that_cannot_be_is_named(name: str, fmt: str, words: str, tmp_path: Path) -> None:
    image = small(tmp_path)
    known = fmt if fmt.isprintable() else "qcow2"
    qemu_img("rebase", "-u", "-F", known, "-b", name, image)
    image.write_bytes(image.read_bytes().replace(known.encode(), fmt.encode(), 1))

    with pytest.raises(ImageError, match=words) as caught:
        READER.shows(image_at(str(image)))
    assert "\n" not in str(caught.value)


def test_a_disk_too_large_for_memory_is_refused_but_mapped(tmp_path: Path) -> None:
    image = create(tmp_path / "image.qcow2", "1T")
    qemu_io(image, "write -P 65 512G 64k")

    began = now()
    assert [extent.length for extent in READER.own(image_at(str(image)))] == [
        512 << 30,
        CLUSTER,
        (512 << 30) - CLUSTER,
    ]
    assert now() - began < 1.0
    with pytest.raises(ImageError, match="is a disk of 1099511627776 bytes; up to 33554432 are read"):
        READER.shows(image_at(str(image)))


def test_a_larger_disk_is_read_if_its_files_have_something_in_them(tmp_path: Path) -> None:
    """A few bytes may claim any size; what takes memory takes room in files, too."""
    image = create(tmp_path / "image.qcow2", "40M")
    qemu_io(image, "write -P 65 39M 64k")
    with pytest.raises(ImageError, match="is a disk of 41943040 bytes; up to 33554432 are read"):
        READER.shows(image_at(str(image)))
    qemu_io(image, "write -P 66 0 3M")

    assert READER.shows(image_at(str(image))) == as_qemu_shows(image)


def test_zstd_is_read(tmp_path: Path) -> None:
    image = create(tmp_path / "image.qcow2", "1M", "compression_type=zstd")
    text = tmp_path / "text"
    text.write_bytes(b"".join(b"line %d\n" % number for number in range(20000))[: 2 * CLUSTER])
    qemu_io(image, "write -c -P 65 0 64k", f"write -c -s {text} 512k 128k")

    expected = b"A" * CLUSTER + bytes(M // 2 - CLUSTER) + text.read_bytes()
    assert READER.shows(image_at(str(image))) == expected.ljust(M, b"\0")


def test_zstd_that_is_none_or_too_much_is_refused(tmp_path: Path) -> None:
    image = create(tmp_path / "image.qcow2", "1M", "compression_type=zstd")
    qemu_io(image, "write -c -P 65 0 64k")
    sound = image.read_bytes()
    at = sound.index(b"\x28\xb5\x2f\xfd")

    def frame(length: int, magic: bytes = b"\x28\xb5\x2f\xfd", descriptor: int = 0) -> bytes:
        """A window of 2 MiB, and one block: a byte that is repeated."""
        return magic + bytes([descriptor, 0x58]) + (length << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"A"

    image.write_bytes(sound[:at] + frame(CLUSTER) + sound[at + len(frame(0)) :])
    assert READER.shows(image_at(str(image)))[:CLUSTER] == as_qemu_shows(image)[:CLUSTER] == b"A" * CLUSTER
    for bad in (frame(CLUSTER, bytes(4)), frame(CLUSTER, descriptor=8), frame(CLUSTER - 1), frame(CLUSTER + 1)):
        image.write_bytes(sound[:at] + bad + sound[at + len(bad) :])
        with pytest.raises(ImageError, match="the compressed cluster of disk byte 0 cannot be decompressed: "):
            READER.shows(image_at(str(image)))
        with pytest.raises(CommandFailed, match="Input/output error"):
            as_qemu_shows(image)


def test_without_a_zstd_library_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = create(tmp_path / "image.qcow2", "1M", "compression_type=zstd")
    qemu_io(image, "write -c -P 65 0 64k")

    def absent() -> None:
        raise zstd.NoZstd

    monkeypatch.setattr(zstd, "_library", absent)
    with pytest.raises(ImageError, match=r"libzstd.so.1 is not installed \(package libzstd1 or libzstd\)"):
        READER.shows(image_at(str(image)))
    assert READER.own(image_at(str(image)))[0].length == CLUSTER  # where things are needs no library


@pytest.mark.parametrize("options", ["cluster_size=64k", "extended_l2=on", "compat=0.10", "cluster_size=512"])
def test_no_damage_raises_anything_but_an_image_error_or_takes_long(options: str, tmp_path: Path) -> None:
    """A few hundred images with random damage to their metadata."""
    image = small(tmp_path, options)
    qemu_io(image, "write -c -P 66 512k 64k" if "512" not in options else "write -c -P 66 512k 512")
    sound = image.read_bytes()
    chance = random.Random(options)
    (table,) = struct.unpack_from(">Q", sound, 40)
    places = [*range(112), *range(table, table + 32), *range(table + 512, table + 1024)]
    if "512" not in options:
        places += [*range(L2, L2 + 64)]
    began = now()
    for _ in range(150):
        data = bytearray(sound)
        for _ in range(chance.randint(1, 3)):
            data[chance.choice(places)] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        image.write_bytes(data[: chance.choice([len(data)] * 4 + [chance.randrange(len(data))])])
        try:
            READER.shows(image_at(str(image)))
        except ImageError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most, but not all, of them raise
    assert now() - began < 20.0


def test_a_backing_file_name_ends_at_a_nul_as_it_does_for_qemu(tmp_path: Path) -> None:
    """A power loss may leave the length of a longer name with a shorter one."""
    base = create(tmp_path / "base.qcow2", "1M")
    top = create(tmp_path / "top.qcow2", "1M", backing=base)
    data = bytearray(top.read_bytes())
    (length,) = struct.unpack_from(">I", data, 16)
    struct.pack_into(">I", data, 16, length + 5)
    top.write_bytes(data)

    assert READER.backing(image_at(str(top))) == PurePosixPath(base)
    assert f"backing file: {base}\n" in qemu_img("info", top)
