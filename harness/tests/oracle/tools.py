"""qemu-img and qemu-io for tests, and the seed's chain as real images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import pytest

from harness.oracle.geometry import Geometry
from harness.oracle.image import File, Image, Nbd
from harness.oracle.pattern import fill
from harness.process import run
from harness.readers.extents import Extent, Kind, merged
from harness.readers.own import Reader

RUN = "1a2b3c4d"

needs_qemu_img = pytest.mark.skipif(
    shutil.which("qemu-img") is None or shutil.which("qemu-io") is None, reason="qemu-img or qemu-io is not installed"
)


def qemu_img(*arguments: str | Path) -> str:
    return run(["qemu-img", *map(str, arguments)], timeout=60).check().stdout


def qemu_io(image: Path, *commands: str, options: Sequence[str] = ()) -> None:
    typed = [word for command in commands for word in ("-c", command)]
    done = run(["qemu-io", *options, *typed, str(image)], timeout=60).check()
    # qemu-io ends with status 0 or 1, and some failures are only in what it prints
    assert "failed" not in done.output, done.output


def create(path: Path, size: str, *options: str, backing: str | Path | None = None, fmt: str = "qcow2") -> Path:
    backed = [] if backing is None else ["-b", str(backing), "-F", fmt]
    chosen = ["-o", ",".join(options)] if options else []
    qemu_img("create", "-q", "-f", "qcow2", *chosen, *backed, path, size)
    return path


def write(image: Path, label: str, *ranges: tuple[int, int], geometry: Geometry | None = None) -> None:
    """Write patterns as a guest would: `ranges` are offsets and lengths in bytes."""
    cell_size = (geometry or Geometry()).cell_size
    commands = []
    for number, (offset, length) in enumerate(ranges):
        source = image.with_name(f"{image.name}.{label}{number}")
        source.write_bytes(fill(label, RUN, offset, length, cell_size))
        commands.append(f"write -s {source} {offset} {length}")
    qemu_io(image, *commands)
    for number in range(len(ranges)):
        image.with_name(f"{image.name}.{label}{number}").unlink()


def as_qemu_shows(image: Path, fmt: str = "qcow2") -> bytes:
    raw = image.with_name("as-qemu-shows")
    qemu_img("convert", "-f", fmt, "-O", "raw", image, raw)
    try:
        return raw.read_bytes()
    finally:
        raw.unlink()


def as_qemu_maps(image: Path, fmt: str = "qcow2") -> list[Extent]:
    """What `image` itself holds according to qemu-img map."""
    extents = []
    for entry in json.loads(qemu_img("map", "--output=json", "-f", fmt, image)):
        kind = Kind.DATA if entry["data"] else Kind.ZERO
        if entry["depth"] > 0 or not entry["present"]:
            kind = Kind.HOLE
        extents.append(Extent(entry["start"], entry["length"], kind))
    return merged(extents)


READER = Reader(Path)
"""Of images whose headers name paths as they are here."""


def images_at(paths: Mapping[str, PurePosixPath]) -> list[Image]:
    """The qcow2 images at these paths, by name."""
    return [Image(name, store=File(path)) for name, path in paths.items()]


def seed_paths(directory: Path) -> dict[str, PurePosixPath]:
    """The seed's four images, made now, by name."""
    return paths_of(seed_on_disk(directory))


def paths_of(images: Sequence[Image]) -> dict[str, PurePosixPath]:
    """Where images lie, by name."""
    return {image.name: image.store.path for image in images if not isinstance(image.store, Nbd)}


def seed_on_disk(directory: Path) -> list[Image]:
    """The seed's four images before the job, made with qemu-img and qemu-io."""
    cell = 65536
    spans = {"base": [(0, 4)], "sn1": [(2, 4)], "sn2": [(5, 4)], "cur": [(0, 1), (8, 2)]}
    images: list[Image] = []
    below: Path | None = None
    for label, (name, cells) in zip("ABCD", spans.items(), strict=True):
        below = create(directory / f"{name}.qcow2", str(12 * cell), backing=below)
        write(below, label, *((first * cell, count * cell) for first, count in cells))
        images.append(Image(name, store=File(PurePosixPath(below))))
    return images
