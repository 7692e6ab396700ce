"""A scenario's recording: where its part of the log begins, what was there then, and the acts since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from harness.acts.act import Act
from harness.acts.images import RemoveFile, RemoveImage
from harness.acts.power import Start
from harness.crash.explore import DEFINITIONS, Explored, explore
from harness.crash.files import require_complete
from harness.crash.log import Call, Op, read_calls, settled
from harness.crash.promise import Disk, Promise, Span, Unjudged, promises
from harness.oracle.state import DIRECTORY, State
from harness.storage.stores import beneath
from harness.waiting import ticks

RECORDER = Path(__file__).resolve().with_name("recorder.c")
"""What logs the calls, as a preload."""
LARGEST = 256 << 20
"""Bytes of images that are kept in memory: of more, no power loss is explored."""
_IMAGES = f"{DIRECTORY}/"


@dataclass(frozen=True)
class Places:
    """Where, on this machine, the recorder's log is, the images, and libvirt's persistent definitions."""

    log: Path
    images: Path
    definitions: Path


class Recording:
    """What was done to the files of one trial; a listener of its stage.

    It begins when the first VM starts: what was made before counts as durable. `run` is the id in the patterns.
    """

    def __init__(self, places: Places, run: str) -> None:
        self._places = places
        self._run = run
        self._spans: list[Span] = []
        self._under_way: tuple[Act, int, State, State] | None = None
        self._since = 0
        self._mark = 0
        self._first: dict[str, bytes] = {}
        self.why_not = "no VM was started"
        """Why there is nothing to explore; "" if there is."""
        self.found: Explored | None = None
        """What came out of the last exploration."""

    def reset(self) -> None:
        """Begin anew with an empty log: nothing that is recorded may run. Acts so far are kept."""
        if self._places.log.exists():
            with self._places.log.open("r+b") as log:
                log.truncate()
        self._since = self._mark = 0
        self.why_not = "no VM was started"

    def began(self, act: Act, before: State, meant: State) -> None:
        """An act is about to be done."""
        if isinstance(act, Start) and not self._since:
            self._begin()
        self._under_way = act, ticks(), before, meant

    def ended(self, act: Act, after: State) -> None:
        """It has been done, or has failed."""
        if self._under_way is not None and self._under_way[0] is act:
            _, began, before, meant = self._under_way
            self._spans.append(Span(act, began, ticks(), before, meant, after))
            self._under_way = None

    def explore(self) -> Explored:
        """Lose the power at every moment since the first VM was started. Raises RecordingFailed.

        Nothing may be writing meanwhile.
        """
        last = _content(self._places.images, _IMAGES)
        with self._places.log.open("rb") as log:
            log.seek(self._mark)
            calls = settled([call for call in read_calls(log.read()) if not _is_scratch(call.path)], last)
        calls = _numbered([*calls, *self._removals(calls)])
        require_complete(self._first, calls, last, _IMAGES)
        self.found = explore(self._first, calls, self._told(), self._run)
        return self.found

    def _begin(self) -> None:
        places = self._places
        sizes = sum(file.stat().st_size for file in _files(places.images))
        self._since = ticks()
        self.why_not = ""
        if sizes > LARGEST:
            self.why_not = f"the images have {sizes} bytes; up to {LARGEST} are kept in memory"
            return
        self._mark = places.log.stat().st_size if places.log.exists() else 0
        self._first = _content(places.images, _IMAGES) | _content(places.definitions, DEFINITIONS)

    def _told(self) -> dict[Disk, Sequence[Promise | Unjudged]]:
        """The promises since the recording began."""
        found: dict[Disk, Sequence[Promise | Unjudged]] = {}
        for disk, told in promises(self._spans).items():
            before = [promise for promise in told if promise.since <= self._since]
            after = [promise for promise in told if promise.since > self._since]
            found[disk] = [*(replace(promise, since=self._since) for promise in before[-1:]), *after]
        return found

    def _removals(self, calls: Sequence[Call]) -> list[Call]:
        """What busybox has removed: it is linked statically, so nothing can be preloaded into it."""
        found = []
        for span in self._spans:
            if span.began < self._since or not isinstance(span.act, RemoveImage | RemoveFile):
                continue
            path = str(_removed(span.act, span.before))
            told = (call for call in calls if call.op is Op.UNLINK and call.path == path)
            if span.after is span.meant and not any(span.began <= call.began <= span.ended for call in told):
                found.append(Call(0, Op.UNLINK, path, span.began, span.ended))
        return found


def _removed(act: RemoveImage | RemoveFile, before: State) -> PurePosixPath:
    return before.path(act.name) if isinstance(act, RemoveImage) else PurePosixPath(act.path)


def _numbered(calls: list[Call]) -> list[Call]:
    """In the order in which they began."""
    return [replace(call, number=number) for number, call in enumerate(sorted(calls, key=lambda call: call.began))]


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    files = (file for file in directory.rglob("*") if file.is_file() and not file.is_symlink())
    devices = {beneath(node) for node in directory.rglob("*") if node.is_block_device()}
    return sorted(file for file in files if not _is_scratch(file.name) and file not in devices)


def _is_scratch(path: str) -> bool:
    """Whether it is a reader's own, which is made and removed beside the images (readers/qemu_img.py)."""
    return PurePosixPath(path).name.startswith(".")


def _content(directory: Path, at: str) -> dict[str, bytes]:
    """The files below a directory, by their path inside the sandbox, where it is called `at`."""
    return {f"{at}{file.relative_to(directory)}": file.read_bytes() for file in _files(directory)}
