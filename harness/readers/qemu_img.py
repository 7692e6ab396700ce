"""qemu-img: makes images and inspects them, and is the second reader, which shares no code with the first.

All that reads does so with `-U` (force-share), since a running QEMU holds locks on its images; the guest must have
flushed what it wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from harness.errors import CheckFailed, ImageError
from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.table import Row
from harness.process import Completed, Runner
from harness.readers.allocation import Range, allocated_ranges, split
from harness.readers.extents import Extent, Kind, merged
from harness.readers.rows import Measured, backing_name, only, row_of

DEADLINE = 60.0
"""Seconds that a command may take."""


@dataclass(frozen=True)
class ImageInfo:
    """What `qemu-img info` says of an image; sizes in bytes.

    `actual_size` is what the file occupies. `backing_filename` is the full name, resolved as QEMU would.
    """

    filename: PurePosixPath
    format: str
    virtual_size: int
    actual_size: int
    backing_filename: PurePosixPath | None
    backing_format: str | None


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


class QemuImg:
    """qemu-img as `run` finds it; paths are those that it sees, and `resolve` maps them to ones that open here.

    Images are qcow2, but for those in `raw`. Every method raises CommandFailed if qemu-img fails, and WaitTimeout after
    DEADLINE seconds.
    """

    def __init__(
        self,
        run: Runner,
        resolve: Callable[[PurePosixPath], Path] = Path,
        raw: Collection[PurePosixPath] = (),
    ) -> None:
        self.run = run
        self.resolve = resolve
        self.raw = frozenset(raw)

    def create(
        self,
        path: PurePosixPath,
        size: int | None,
        *,
        backing: PurePosixPath | None = None,
        backing_format: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Make an image of `size` bytes (None: as large as its backing file).

        `options` are qemu-img's `-o`, such as "cluster_size=4k". A backing file is of format qcow2 unless it is in
        `raw` or `backing_format` says otherwise.
        """
        command = ["create", "-q", "-f", self._format(path)]
        if backing is not None:
            command += ["-b", str(backing), "-F", backing_format or self._format(backing)]
        for option in options:
            command += ["-o", option]
        self._qemu_img(*command, str(path), *([] if size is None else [str(size)])).check()

    def convert(self, raw: PurePosixPath, path: PurePosixPath) -> None:
        """Make the qcow2 image `path` a full, sparse copy of a raw one."""
        self._qemu_img("convert", "-f", "raw", "-O", "qcow2", str(raw), str(path)).check()

    def set_backing(self, path: PurePosixPath, backing: PurePosixPath) -> None:
        """Write into the header of `path` that it is backed by `backing`; no data moves (`rebase -u`)."""
        formats = ["-f", self._format(path), "-F", self._format(backing)]
        self._qemu_img("rebase", "-u", *formats, "-b", str(backing), str(path)).check()

    def info_chain(self, path: PurePosixPath) -> tuple[ImageInfo, ...]:
        """The image and its backing files, as their headers have it: the image first, its base last."""
        return self._info(path, "--backing-chain")

    def check(self, path: PurePosixPath) -> None:
        """Hold the image's own bookkeeping to itself. Raises CheckFailed if it has errors or leaked clusters.

        A raw image has none. Of an image in use leaks may be reported that are none: QEMU writes refcounts back late.
        """
        if path in self.raw:
            return
        done = self._qemu_img("check", "-U", "--output=json", "-f", self._format(path), str(path))
        try:
            (found,) = _objects(done)
        except ImageError:
            done.check()
            raise
        counts = {name: _integer(found, name) for name in ("corruptions", "leaks", "check-errors") if name in found}
        if done.exit_status != 0 or any(counts.values()):
            seen = ", ".join(f"{count} {name}" for name, count in counts.items()) or f"exit status {done.exit_status}"
            raise CheckFailed(f"qemu-img check finds nothing wrong with {path.name}", seen, done.output.strip())

    def map(self, path: PurePosixPath) -> tuple[MapEntry, ...]:
        """Which image of the chain each stretch of the virtual disk is read from, in order and without gaps."""
        done = self._qemu_img("map", "-U", "--output=json", "-f", self._format(path), str(path)).check()
        return tuple(_map_entry(entry) for entry in _objects(done))

    def shows(self, path: PurePosixPath) -> bytes:
        """The virtual disk through the backing chain, converted by QEMU into a file beside the image, and that removed.

        Beside the image, since that directory is where both the stack and we can see a file.
        """
        return self._converted(path, ["-f", self._format(path), str(path)])

    def measure(
        self, paths: Mapping[str, PurePosixPath], geometry: Geometry, run: str, expected: Content | None = None
    ) -> tuple[Row, ...]:
        """A row for each image, as `Reader.measure` makes them, by other means; the images may be in use."""
        names = {path: name for name, path in paths.items()}
        rows = []
        for name, path in paths.items():
            gone = expected is not None and name in expected.layers and not expected.readable(name)
            measured = self._measured_alone(name, path, names) if gone else self._measured(name, path, names)
            rows.append(row_of(measured, geometry, run))
        return tuple(rows)

    def _measured(self, name: str, path: PurePosixPath, names: Mapping[PurePosixPath, str]) -> Measured:
        chain = self.info_chain(path)
        source = _unlocked(chain)
        entries = self._mapped(chain)
        shown = self._converted(path, [source])
        extents = merged(Extent(entry.start, entry.length, _kind(entry)) for entry in entries)
        vacant = [Extent(entry.start, entry.length, Kind.HOLE) for entry in entries if not entry.present]
        backing = backing_name(chain[0].backing_filename, names)
        return Measured(name, only(Kind.DATA, extents, shown), extents, shown, vacant, backing)

    def _measured_alone(self, name: str, path: PurePosixPath, names: Mapping[PurePosixPath, str]) -> Measured:
        """As `_measured` for an image that has lost a backing file: what it contains, without what it shows."""
        (info,) = self._info(path)
        alone = _unlocked([info])
        entries = self._mapped([info])
        extents = merged(Extent(entry.start, entry.length, _kind(entry)) for entry in entries)
        backing = backing_name(info.backing_filename, names)
        return Measured(name, self._converted(path, [alone]), extents, None, [], backing)

    def _info(self, path: PurePosixPath, *options: str) -> tuple[ImageInfo, ...]:
        done = self._qemu_img("info", "-U", *options, "--output=json", "-f", self._format(path), str(path)).check()
        return tuple(_info(entry) for entry in _objects(done))

    def _mapped(self, chain: Sequence[ImageInfo]) -> list[MapEntry]:
        done = self._qemu_img("map", "-U", "--output=json", _unlocked(chain)).check()
        objects = _objects(done)
        entries = [_map_entry(entry) for entry in objects]
        if chain[-1].format == "raw" or all("present" in entry for entry in objects):
            return entries
        # QEMU before 6.1 calls what no image holds zeros of the lowest image
        command = ["qemu-io", "-r", "-U", "-c", "map", _unlocked(chain[-1:])]
        held = allocated_ranges(self.run(command, timeout=DEADLINE).check().stdout)
        return [piece for entry in entries for piece in _told_apart(entry, len(chain) - 1, held)]

    def _converted(self, path: PurePosixPath, source: Sequence[str]) -> bytes:
        scratch = path.with_name(f".{path.name}.shown")
        here = self.resolve(scratch)
        try:
            self._qemu_img("convert", "-U", "-O", "raw", *source, str(scratch)).check()
            return here.read_bytes()
        finally:
            here.unlink(missing_ok=True)

    def _format(self, path: PurePosixPath) -> str:
        return "raw" if path in self.raw else "qcow2"

    def _qemu_img(self, *arguments: str) -> Completed:
        return self.run(["qemu-img", *arguments], timeout=DEADLINE)


def _unlocked(chain: Sequence[ImageInfo]) -> str:
    """The image `chain[0]` over the rest of `chain`, as a file name that makes QEMU open it all without locks.

    `--force-share` is not enough while an active commit runs: QEMU then refuses the layers between base and active to
    every other reader ('Failed to get "consistent read" lock'), since they no longer show any moment of the disk.
    """
    spec: dict[str, object] | None = None
    for info in reversed(chain):
        file = {"driver": "file", "filename": str(info.filename), "locking": "off"}
        spec = {"driver": info.format, "file": file, **({} if info.format == "raw" else {"backing": spec})}
    return f"json:{json.dumps(spec)}"


def _kind(entry: MapEntry) -> Kind:
    """What the image itself holds there."""
    if entry.depth > 0 or not entry.present:
        return Kind.HOLE
    return Kind.DATA if entry.data else Kind.ZERO


def _info(entry: Mapping[str, object]) -> ImageInfo:
    """An object of `qemu-img info --output=json`."""
    backing = _string(entry, "full-backing-filename") or _string(entry, "backing-filename")
    return ImageInfo(
        PurePosixPath(_string(entry, "filename") or ""),
        _string(entry, "format") or "",
        _integer(entry, "virtual-size"),
        _integer(entry, "actual-size"),
        None if backing is None else PurePosixPath(backing),
        _string(entry, "backing-filename-format"),
    )


def _map_entry(entry: Mapping[str, object]) -> MapEntry:
    """An object of `qemu-img map --output=json`."""
    return MapEntry(
        _integer(entry, "start"),
        _integer(entry, "length"),
        _integer(entry, "depth"),
        entry.get("zero") is True,
        entry.get("data") is True,
        entry.get("present", True) is True,
    )


def _told_apart(entry: MapEntry, lowest: int, held: Sequence[Range]) -> Iterator[MapEntry]:
    """An entry cut into what the lowest image holds and what no image does."""
    if entry.depth != lowest or entry.data:
        yield entry
        return
    for start, length, present in split(entry.start, entry.length, held):
        yield replace(entry, start=start, length=length, present=present)


def _objects(done: Completed) -> list[Mapping[str, object]]:
    """The object, or each of the list of objects, that qemu-img printed as JSON. Raises ImageError for other output."""
    try:
        printed: object = json.loads(done.stdout)
    except ValueError:
        printed = None
    found = printed if isinstance(printed, list) else [printed]
    objects: list[Mapping[str, object]] = [entry for entry in found if isinstance(entry, dict)]
    if not objects or len(objects) != len(found):
        raise ImageError(done.command[-1], f"{' '.join(done.command[:2])} printed no JSON: {done.output.strip()[:500]}")
    return objects


def _string(entry: Mapping[str, object], name: str) -> str | None:
    value = entry.get(name)
    return value if isinstance(value, str) else None


def _integer(entry: Mapping[str, object], name: str) -> int:
    value = entry.get(name, 0)
    return value if isinstance(value, int) else 0
