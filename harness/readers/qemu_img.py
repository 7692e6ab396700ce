"""qemu-img: what it says of images. All that reads does so with `-U` (force-share): a running QEMU holds locks.

The guest must have flushed what it wrote.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from harness.errors import CheckFailed, ImageError
from harness.oracle.image import Image, Store
from harness.process import Completed, Runner
from harness.readers.extents import opened
from harness.readers.named import require_inside
from harness.storage import tool
from harness.storage.stores import file_name, path_of, store_printed

LARGEST = 1 << 30
"""Bytes of the largest virtual disk that is read into memory."""
DEADLINE = 60.0
"""Seconds that a command may take."""


@dataclass(frozen=True)
class ImageInfo:
    """What `qemu-img info` says of an image; sizes in bytes.

    `actual_size` is what the file occupies. `backing` is the backing file as QEMU resolves its name, `backing_text` is
    that name in the header. `options` are those that the image was made with, as far as its header tells of them.
    """

    store: Store
    format: str
    virtual_size: int
    actual_size: int
    backing: Store | None
    backing_format: str | None
    backing_text: str | None = None
    options: Mapping[str, str | int | bool] = field(default_factory=dict, compare=False)


class QemuImg:
    """qemu-img as `run` finds it; stores are those that it sees, and `resolve` maps paths to ones that open here.

    It is given no image that makes it open a file outside `inside`, a directory of this machine (None: the image's own
    directory): ImageError. Every method raises CommandFailed if qemu-img fails, and WaitTimeout after DEADLINE seconds.
    """

    def __init__(
        self, run: Runner, resolve: Callable[[PurePosixPath], Path] = Path, inside: Path | None = None
    ) -> None:
        self.run = run
        self.resolve = resolve
        self._inside = inside

    def info_chain(self, image: Image) -> tuple[ImageInfo, ...]:
        """The image and its backing files, as their headers have it: the image first, its base last."""
        return self.info(image, "--backing-chain")

    def info(self, image: Image, *options: str) -> tuple[ImageInfo, ...]:
        """What it says of the image, with `options`."""
        self._require_inside(image, chain="--backing-chain" in options)
        done = self.tool("info", "-U", *options, "--output=json", "-f", image.format.name, file_name(image.store))
        return tuple(_info(entry) for entry in objects(done.check()))

    def check(self, image: Image, *, may_leak: bool = False, alone: bool = False) -> None:
        """Hold the image's own bookkeeping to itself. Raises CheckFailed if it has errors or leaked clusters.

        With `may_leak`, leaks are no fault (exit status 3 of qemu-img). A raw image has no bookkeeping. Of an image in
        use leaks may be reported that are none: QEMU writes refcounts back late. `alone`: below it is an encrypted one.
        """
        if not image.format.has_metadata:
            return
        self._require_inside(image)
        done = self.tool("check", "-U", "--output=json", *tool.opened(image, alone=alone))
        try:
            (found,) = objects(done)
        except ImageError:
            done.check()
            raise
        counts = {name: _integer(found, name) for name in ("corruptions", "leaks", "check-errors") if name in found}
        if may_leak:
            counts.pop("leaks", None)
        if done.exit_status not in ((0, 3) if may_leak else (0,)) or any(counts.values()):
            seen = ", ".join(f"{count} {name}" for name, count in counts.items()) or f"exit status {done.exit_status}"
            name = PurePosixPath(file_name(image.store)).name
            raise CheckFailed(f"qemu-img check finds nothing wrong with {name}", seen, done.output.strip())

    def shows(self, image: Image) -> bytes:
        """The virtual disk through the backing chain, converted by QEMU into a file beside the image, and that removed.

        Beside the image, since that directory is where both the stack and we can see a file.
        """
        self._require_inside(image)
        return self.converted(image, "-f", image.format.name, file_name(image.store))

    def shows_inside(self, image: Image, snapshot: str) -> bytes:
        """What the image showed when a snapshot was made inside it, through its backing files as they are now."""
        self._require_inside(image)
        which = ("-l", f"snapshot.name={snapshot}")
        return self.converted(image, *which, *tool.opened(image))

    def converted(self, image: Image, *source: str) -> bytes:
        """What `qemu-img convert` makes of `source`, by way of a file beside the image, which must not be there yet.

        What `source` makes it open is the caller's affair. Raises ImageError if it is (qemu-img would follow a link),
        or if the disk is larger than LARGEST.
        """
        path = path_of(image.store)
        if path is None:
            raise ValueError(f"{image} has no directory to convert it in: it is {image.store}")
        scratch = path.with_name(f".{path.name}.shown")
        here = self.resolve(scratch)
        if os.path.lexists(here):
            raise ImageError(str(path), f"cannot be converted: {scratch} is in the way")
        try:
            self.tool("convert", "-U", "-O", "raw", *source, str(scratch)).check()
            with opened(here, str(scratch)) as file:
                if file.size > LARGEST:
                    raise ImageError(str(path), f"is a disk of {file.size} bytes; up to {LARGEST} are read")
                return file.read(0, file.size, "the disk")
        finally:
            here.unlink(missing_ok=True)

    def _require_inside(self, image: Image, *, chain: bool = True) -> None:
        require_inside(image, self.resolve, self._inside, chain=chain)

    def tool(self, *arguments: str) -> Completed:
        """Run it; its exit status is not checked. Raises CommandFailed if it crashes: that is no word on an image."""
        done = self.run(["qemu-img", *arguments], timeout=DEADLINE)
        return done if done.exit_status >= 0 else done.check()


def objects(done: Completed) -> list[Mapping[str, object]]:
    """The object, or each of the list of objects, that qemu-img printed as JSON. Raises ImageError for other output."""
    try:
        printed: object = json.loads(done.stdout)
    except ValueError:
        printed = None
    found = printed if isinstance(printed, list) else [printed]
    entries: list[Mapping[str, object]] = [entry for entry in found if isinstance(entry, dict)]
    if not entries or len(entries) != len(found):
        raise ImageError(done.command[-1], f"{' '.join(done.command[:2])} printed no JSON: {done.output.strip()[:500]}")
    return entries


def _info(entry: Mapping[str, object]) -> ImageInfo:
    """An object of `qemu-img info --output=json`."""
    backing = _string(entry, "full-backing-filename") or _string(entry, "backing-filename")
    return ImageInfo(
        store_printed(_string(entry, "filename") or ""),
        _string(entry, "format") or "",
        _integer(entry, "virtual-size"),
        _integer(entry, "actual-size"),
        None if backing is None else store_printed(backing),
        _string(entry, "backing-filename-format"),
        _string(entry, "backing-filename"),
        _options(entry),
    )


def _options(entry: Mapping[str, object]) -> dict[str, str | int | bool]:
    specific = entry.get("format-specific")
    data = specific.get("data") if isinstance(specific, Mapping) else None
    found = {"cluster-size": entry.get("cluster-size"), **(data if isinstance(data, Mapping) else {})}
    return {name: value for name, value in found.items() if isinstance(value, str | int | bool)}


def _string(entry: Mapping[str, object], name: str) -> str | None:
    value = entry.get(name)
    return value if isinstance(value, str) else None


def _integer(entry: Mapping[str, object], name: str) -> int:
    value = entry.get(name, 0)
    return value if isinstance(value, int) else 0
