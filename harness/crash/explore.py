"""Every state that a power loss may leave of a recorded scenario, each once, and what is wrong in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.crash.files import Directory, events, subsets
from harness.crash.judge import FileKey, Judge, Key, Problem, Source, sources
from harness.crash.log import Call
from harness.crash.promise import Disk, Promise, Unjudged
from harness.errors import ImageError

DEFINITIONS = "/etc/libvirt/qemu/"
KEPT_FILES = 16
"""Of how many kinds of red states the files are kept."""


@dataclass(frozen=True)
class Red:
    """A crash state of `disk` in which something is wrong.

    The power is lost at `at` (ns), after the event `last`; of the calls that no flush covers those `applied` survive,
    those `dropped` do not. `named_by` says who leads to the chain that was read: the definition, or the guest's QEMU.
    `files` are the images as they are then, by path; only of the first states of a kind.
    """

    disk: Disk
    at: int
    last: str
    moment: str
    problem: Problem
    named_by: str
    source: Source
    promise: Promise
    applied: tuple[Call, ...]
    dropped: tuple[Call, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def kind(self) -> tuple[Disk, str, str, str]:
        """States of one kind have one cause, as far as one can tell."""
        return self.disk, self.moment, self.problem.kind, self.source.path


@dataclass
class Explored:
    """What came out: how many different `states` were read, per moment; the red ones, the first of each kind.

    `acts` has the moments at which states of an act of a kind were read, by the kind's name. `counts` has how many
    states there are of a kind of red ones. `limits` are those that are red by a documented limit alone. `not_made` says
    why a disk was not judged.
    """

    states: Counter[str] = field(default_factory=Counter)
    reds: dict[tuple[Disk, str, str, str], Red] = field(default_factory=dict)
    counts: Counter[tuple[Disk, str, str, str]] = field(default_factory=Counter)
    limits: Counter[str] = field(default_factory=Counter)
    not_made: dict[Disk, str] = field(default_factory=dict)
    judged: set[Disk] = field(default_factory=set)
    acts: dict[str, set[str]] = field(default_factory=dict)


def explore(
    first: Mapping[str, bytes], calls: Sequence[Call], told: Mapping[Disk, Sequence[Promise | Unjudged]], run: str
) -> Explored:
    """Lose the power at each moment of a recording, and judge what may be left.

    `first` are the files in the beginning, by path. `run` is the patterns' run id. A moment is the begin and the end of
    each call, and of each act. Raises RecordingFailed.
    """
    directory = Directory(first)
    exploration = _Exploration(directory, told, run)
    marks = sorted({promise.since for each in told.values() for promise in each})
    last = "the beginning"
    for at, begins, call in events(calls):
        while marks and marks[0] <= at:
            exploration.act(marks[0])
            exploration.look(marks.pop(0), last)
        changed = directory.begins(call) if begins else directory.ends(call)
        if changed:
            last = f"{call} {'has begun' if begins else 'has ended'}"
            exploration.look(at, last)
    for mark in marks:
        exploration.act(mark)
        exploration.look(mark, last)
    return exploration.found


class _Exploration:
    def __init__(self, directory: Directory, told: Mapping[Disk, Sequence[Promise | Unjudged]], run: str) -> None:
        self.found = Explored()
        self._directory = directory
        self._judge = Judge(directory, run)
        self._to_come = {disk: list(promises) for disk, promises in told.items()}
        self._now: dict[Disk, Promise] = {}
        self._seen: set[tuple[int, str, str, Key]] = set()  # id of the promise

    def act(self, at: int) -> None:
        """An act begins, or ends: another promise holds."""
        for disk, promises in self._to_come.items():
            while promises and promises[0].since <= at:
                promise = promises.pop(0)
                if isinstance(promise, Unjudged):
                    self._now.pop(disk, None)
                    self.found.not_made[disk] = promise.why
                else:
                    self._now[disk] = promise

    def look(self, at: int, last: str) -> None:
        """Lose the power now."""
        defined = [disk for disk in self._now if _definition(disk) in self._directory.names]
        if not defined:
            return
        pending = self._pending()
        for survivors in subsets(pending):
            for disk in defined:
                self._state(disk, survivors, pending, at, last)

    def _pending(self) -> list[int]:
        """The calls on images and definitions that no flush covers, in the order in which they began."""
        found = []
        for path, inode in self._directory.names.items():
            if not path.startswith(DEFINITIONS) or path.endswith(".xml"):
                found += [call.number for call in inode.pending]
        return sorted(found)

    def _state(self, disk: Disk, survivors: frozenset[int], pending: Sequence[int], at: int, last: str) -> None:
        promise = self._now[disk]
        for named_by, source in self._sources(disk, promise, survivors):
            problems = list(self._problems(disk, promise, named_by, source, survivors))
            for problem in problems:
                if problem.is_limit:
                    self.found.limits[promise.moment] += 1
                    continue
                red = self._red(disk, promise, problem, named_by, source, survivors, pending, at, last)
                self.found.counts[red.kind] += 1
                self.found.reds.setdefault(red.kind, red)

    def _sources(self, disk: Disk, promise: Promise, survivors: frozenset[int]) -> Iterator[tuple[str, Source | str]]:
        vm, target = disk
        inode = self._directory.names[_definition(disk)]
        content = inode.content(inode.applied(survivors)) if inode.pending else bytes(inode.durable)
        try:
            source = sources(content)[target]
        except ValueError as error:
            yield "the persistent definition", str(error)
            return
        except KeyError:
            return
        yield "the persistent definition", source
        if promise.active and promise.active != source.path:
            yield f"the guest of {vm}", Source(promise.active, source.driver, source.cache)

    def _problems(
        self, disk: Disk, promise: Promise, named_by: str, source: Source | str, survivors: frozenset[int]
    ) -> Iterator[Problem]:
        if isinstance(source, str):
            yield Problem("definition", source)
            return
        judge = self._judge
        try:
            chain = judge.chain(source, survivors)
        except ImageError as error:
            if self._is_new(promise, named_by, judge.read):
                yield judge.unreadable(error, survivors)
            return
        if self._is_new(promise, named_by, judge.read):
            self.found.states[promise.moment] += 1
            self.found.judged.add(disk)
            self.found.acts.setdefault(promise.act, set()).add(promise.moment)
            yield from judge.problems(source, chain, survivors, promise)

    def _is_new(self, promise: Promise, named_by: str, read: Sequence[FileKey]) -> bool:
        key = id(promise), named_by, "", tuple(read)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def _red(
        self,
        disk: Disk,
        promise: Promise,
        problem: Problem,
        named_by: str,
        source: Source | str,
        survivors: frozenset[int],
        pending: Sequence[int],
        at: int,
        last: str,
    ) -> Red:
        if isinstance(source, str):
            source = Source(_definition(disk), driver="qcow2", cache="")
        calls = {call.number: call for inode in self._directory.names.values() for call in inode.pending}
        applied = tuple(calls[number] for number in pending if number in survivors)
        dropped = tuple(calls[number] for number in pending if number not in survivors)
        red = Red(disk, at, last, promise.moment, problem, named_by, source, promise, applied, dropped)
        if red.kind in self.found.reds or len(self.found.reds) >= KEPT_FILES:
            return red
        files = {
            path: inode.content(inode.applied(survivors))
            for path, inode in self._directory.names.items()
            if not path.startswith(DEFINITIONS)
        }
        return Red(disk, at, last, promise.moment, problem, named_by, source, promise, applied, dropped, files)


def _definition(disk: Disk) -> str:
    return f"{DEFINITIONS}{disk[0]}.xml"
