"""A third reader, of the tests alone: what images hold and show, by qemu-img map and convert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.oracle.content import Content
from harness.oracle.geometry import Geometry, Range
from harness.oracle.image import Image, Qcow2, Raw
from harness.oracle.table import Row
from harness.process import Completed
from harness.readers.extents import Extent, Kind, merged
from harness.readers.qemu_img import DEADLINE, ImageInfo, QemuImg, objects
from harness.readers.rows import Measured, only, row_of
from harness.storage.images import image_in, unlocked
from harness.storage.stores import file_name, printed
from harness.tests.readers.allocation import allocated_ranges, split


@dataclass(frozen=True)
class MapEntry:
    """A line of `qemu-img map`: `length` bytes at byte `start` of the virtual disk are alike.

    `depth` counts from 0 for the image itself up its backing files. `zero`: reads as zeros; `data`: allocated and read
    from a file; `present`: held by some image of the chain (QEMU before 6.1 does not say: then it is True).
    """

    start: int
    length: int
    depth: int
    zero: bool
    data: bool
    present: bool


class QemuImgReader:
    """Measures images with `tool`, as the harness's own reader does by other means; the images may be in use."""

    def __init__(self, tool: QemuImg) -> None:
        self.tool = tool

    def map(self, image: Image) -> tuple[MapEntry, ...]:
        """Which image of the chain each stretch of the virtual disk is read from, in order and without gaps."""
        done = self.tool.tool("map", "-U", "--output=json", "-f", image.format.name, file_name(image.store))
        return tuple(_map_entry(entry) for entry in objects(done.check()))

    def measure(
        self, images: Sequence[Image], geometry: Geometry, run: str, expected: Content | None = None
    ) -> tuple[Row, ...]:
        """A row for each image; see harness.readers.own.Reader.measure."""
        rows = []
        for image in images:
            gone = expected is not None and image.name in expected.layers and not expected.readable(image.name)
            chain = self.tool.info(image) if gone else self.tool.info_chain(image)
            rows.append(row_of(self._measured(image, chain, images, shown=not gone), geometry, run))
        return tuple(rows)

    def _measured(self, image: Image, chain: Sequence[ImageInfo], images: Sequence[Image], *, shown: bool) -> Measured:
        own = chain[0]
        source = unlocked([_image(info) for info in chain])
        entries = self._mapped(chain)
        extents = merged(Extent(entry.start, entry.length, _kind(entry)) for entry in entries)
        data = self.tool.converted(image, source)
        vacant = [Extent(entry.start, entry.length, Kind.HOLE) for entry in entries if not entry.present]
        named = None if own.backing is None else image_in(own.backing, images)
        backing = named.name if named else None if own.backing is None else _bare(printed(own.backing), images)
        return Measured(
            image.name,
            only(Kind.DATA, extents, data),
            extents,
            data if shown else None,
            vacant if shown else [],
            backing,
            own.virtual_size,
            own.backing_format,
        )

    def _mapped(self, chain: Sequence[ImageInfo]) -> list[MapEntry]:
        source = unlocked([_image(info) for info in chain])
        done: Completed = self.tool.tool("map", "-U", "--output=json", source).check()
        found = objects(done)
        entries = [_map_entry(entry) for entry in found]
        if chain[-1].format == "raw" or all("present" in entry for entry in found):
            return entries
        # QEMU before 6.1 calls what no image holds zeros of the lowest image
        command = ["qemu-io", "-r", "-U", "-c", "map", unlocked([_image(chain[-1])])]
        held = allocated_ranges(self.tool.run(command, timeout=DEADLINE).check().stdout)
        return [piece for entry in entries for piece in _told_apart(entry, len(chain) - 1, held)]


def _bare(name: str, images: Sequence[Image]) -> str:
    """A backing file that is not measured: its own name without suffix, or its place if another one has that name."""
    stem = name.rpartition("/")[2].rpartition(".")[0]
    return name if stem in {image.name for image in images} else stem


def _image(info: ImageInfo) -> Image:
    return Image("", Raw() if info.format == "raw" else Qcow2(), info.store)


def _kind(entry: MapEntry) -> Kind:
    """What the image itself holds there."""
    if entry.depth > 0 or not entry.present:
        return Kind.HOLE
    return Kind.DATA if entry.data else Kind.ZERO


def _map_entry(entry: Mapping[str, object]) -> MapEntry:
    """An object of `qemu-img map --output=json`."""
    start, length, depth = (int(str(entry[name])) for name in ("start", "length", "depth"))
    present = entry.get("present", True) is True
    return MapEntry(start, length, depth, entry.get("zero") is True, entry.get("data") is True, present)


def _told_apart(entry: MapEntry, lowest: int, held: Sequence[Range]) -> Iterator[MapEntry]:
    """An entry cut into what the lowest image holds and what no image does."""
    if entry.depth != lowest or entry.data:
        yield entry
        return
    for start, length, present in split(entry.start, entry.length, held):
        yield replace(entry, start=start, length=length, present=present)
