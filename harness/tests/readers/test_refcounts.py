"""Refcounts that our own reader counts are those that `qemu-img check` counts, in sound images and broken ones."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from harness.errors import ImageError
from harness.process import run
from harness.readers.own import Reader
from harness.readers.refcounts import Wrong
from harness.storage.images import image_at
from harness.tests.oracle.tools import create, needs_qemu_img, qemu_img, qemu_io
from harness.tests.readers.mutations import ACTIVE, VARIANTS, l2_entry, mutated, refcounts

pytestmark = needs_qemu_img

COUNT = int(os.environ.get("CHAINPROOF_FUZZ", "200"))
OPTIONS = {
    "default": (),
    "version 2": ("compat=0.10",),
    "512-byte clusters": ("cluster_size=512",),
    "2M clusters": ("cluster_size=2M",),
    "extended L2": ("extended_l2=on", "cluster_size=128k"),
    "lazy refcounts": ("lazy_refcounts=on",),
    "zstd": ("compression_type=zstd",),
    **{f"refcounts of {1 << order} bits": (f"refcount_bits={1 << order}",) for order in range(7)},
}


def counted(image: Path) -> list[Wrong]:
    return Reader(Path, image.parent).wrong_refcounts(image_at(str(image)))


def by_qemu(image: Path) -> tuple[int, int] | None:
    """How many leaks and how many corruptions; None if qemu-img cannot check it."""
    done = run(["qemu-img", "check", "-f", "qcow2", "--output=json", str(image)], timeout=60)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return None
    return found.get("leaks", 0), found.get("corruptions", 0)


def grown(image: Path, options: Sequence[str], chance: random.Random) -> Path:
    """An image with data, zeros, discards and compressed clusters; some with snapshots inside, and with bitmaps."""
    create(image, "4M", *options)
    many = "refcount_bits=1" not in options  # a snapshot refers to clusters once more
    if many and chance.random() < 0.6:
        qemu_io(image, f"write -c -P 67 {chance.randrange(2) * (2 << 20)} 2M")  # before anything is allocated there
    for number in range(chance.randrange(1, 4)):
        at, length = chance.randrange(0, 4 << 20, 512), chance.randrange(512, 256 << 10, 512)
        length = min(length, (4 << 20) - at)
        verbs = ["write -P 65", "write -z", "write -z -u", "discard"]
        qemu_io(image, *(f"{chance.choice(verbs)} {at} {length}" for _ in range(3)), f"write -P 66 {at} 512")
        if many and (number == 0 or "refcount_bits=2" not in options) and chance.random() < 0.4:
            qemu_img("snapshot", "-c", f"s{number}", image)
        if "compat=0.10" not in options and chance.random() < 0.4:
            qemu_img("bitmap", "--add", image, f"b{number}")
    return image


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_sound_image_has_the_refcounts_that_it_says(options: Sequence[str], tmp_path: Path) -> None:
    for number in range(4):
        image = grown(tmp_path / f"{number}.qcow2", options, random.Random(f"{options} {number}"))

        assert by_qemu(image) == (0, 0)
        assert counted(image) == []


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_refcount_that_is_wrong_is_found_as_qemu_finds_it(options: Sequence[str], tmp_path: Path) -> None:
    for number in range(4):
        chance = random.Random(f"{options} {number}")
        image = grown(tmp_path / f"{number}.qcow2", options, chance)
        data = bytearray(image.read_bytes())
        (table,) = struct.unpack_from(">Q", data, 48)
        (block,) = struct.unpack_from(">Q", data, table)
        data[block + chance.randrange(16)] ^= 1 << chance.randrange(8)
        image.write_bytes(data)
        found, qemu = counted(image), by_qemu(image)

        assert qemu is not None
        assert (any(w.is_leak for w in found), any(not w.is_leak for w in found)) == (qemu[0] > 0, qemu[1] > 0)
        assert qemu[0] == sum(wrong.is_leak for wrong in found)


def test_an_external_data_file_has_no_refcounts(tmp_path: Path) -> None:
    image = create(tmp_path / ACTIVE, "1M", f"data_file={tmp_path}/image.data")
    qemu_io(image, "write -P 65 0 300k", "write -z 64k 64k")

    assert by_qemu(image) == (0, 0)
    assert counted(image) == []


def test_mutated_bookkeeping_is_judged_as_qemu_judges_it(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    originals = {name: variant.make(work) for name, variant in VARIANTS.items()}
    told = {"sound": 0, "wrong": 0, "refused": 0}
    for number in range(COUNT // 2):
        chance = random.Random(f"refcounts {number}")
        files = {name: bytearray(data) for name, data in chance.choice(list(originals.values())).items()}
        chance.choice((l2_entry, refcounts))(files[ACTIVE], chance)
        for name, data in files.items():
            (work / name).write_bytes(data)
        qemu = by_qemu(work / ACTIVE)
        try:
            found = counted(work / ACTIVE)
        except ImageError:
            told["refused"] += 1
            assert qemu is None or qemu[1], number
        else:
            told["wrong" if found else "sound"] += 1
            assert qemu is not None, number
            assert bool(found) == (qemu != (0, 0)), (number, qemu, found)
        for name in files:
            (work / name).unlink()
    assert min(told.values()) > COUNT // 40, told


def test_the_words_say_what_is_in_danger() -> None:
    assert str(Wrong(65536, 1, 0)) == "the cluster at byte 65536 is referred to once, its refcount is 0: in danger"
    assert str(Wrong(65536, 0, 2)) == "the cluster at byte 65536 is referred to 0 times, its refcount is 2: leaked"
    assert str(Wrong(0, 2, 2, flags=True)) == "the cluster at byte 0 has refcount 2, and an entry says that it is 1"


def test_mutated_images_are_image_errors_or_counted(tmp_path: Path) -> None:
    originals = [variant.make(tmp_path) for variant in VARIANTS.values()]
    for number in range(COUNT):
        chance = random.Random(f"counted {number}")
        files, _ = mutated(chance.choice(originals), chance)
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        with suppress(ImageError):
            counted(tmp_path / ACTIVE)
        for name in files:
            (tmp_path / name).unlink()
