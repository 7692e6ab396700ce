"""A saboteur as a row: what it breaks, how, what is to notice it; and whether it was seen to fire and was noticed."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum

import libvirt

from harness.acts.chain import ActiveCommit, AwaitReady, Pivot
from harness.detect.lies import swapped
from harness.errors import ChainproofError, CheckFailed, WaitTimeout
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.verdict import event_checks
from harness.verdict.checks import verify_all
from harness.verdict.explanation import explain
from harness.verdict.finding import ChecksFailed, Finding, findings_of
from harness.verdict.power_loss import explore_power_loss
from harness.waiting import NotYet, now, wait_until

CLAIM = "the scenario's own claim"
"""What notices in place of a universal check: what a scenario verifies, or waits for."""
LIVE, DEFINED, OPENED, LISTED = (
    "chain in the live XML",
    "chain in the persistent definition",
    "chain in QEMU",
    "chain in domblklist",
)
"""The names of the checks of the chain in four places."""
COMMITTED = (ActiveCommit("vda", "base"), AwaitReady("vda"), Pivot("vda"))
"""The acts of a whole active commit."""
ANY = " ... "
"""Stands in the words of a row for whatever is between two of them in one line."""


class Family(StrEnum):
    """What is broken."""

    IO = "QEMU's I/O"
    JOB = "the job"
    IMAGE = "the images"
    LIBVIRT = "libvirt's view"
    EVENT = "libvirt's events"
    TOOL = "tools and readers"
    QEMU = "QEMU's life"
    GUEST = "the guest"
    DAEMON = "a new libvirtd"
    PROCESS = "what dies or stops"
    PROGRAM = "programs of a release"


class Idle(ChainproofError):
    """A saboteur that has changed nothing: its row proves nothing."""


class Unnoticed(ChainproofError):
    """A saboteur that lives, or that something else has caught than what is meant to: a hole in the harness."""


Trace = Callable[["Scene"], object]
"""What a saboteur leaves: another value after it has fired than before."""


@dataclass
class Scene:
    """Where a saboteur works: a trial, and in it a VM on the documented layers, unless the saboteur does without.

    What is put on `stack` is undone at the end.
    """

    trial: Trial
    stack: ExitStack
    trace: Trace = lambda _: None
    lies: int = 0
    """How many answers were not those of whom they claim to be."""
    before: object = field(default=None, init=False)
    _broken: float = field(default=0.0, init=False)
    _acts: int = field(default=0, init=False)
    _seconds: float = field(default=0.0, init=False)

    @property
    def vm(self) -> Vm:
        """The VM."""
        return self.trial.vm()

    def begin(self) -> None:
        """What there is now is what the saboteur will change: nothing before counts as its work."""
        self.before = self.trace(self)

    def broken(self) -> None:
        """From here on it can be noticed. Without this call, that is when the saboteur has done its work."""
        self._broken, self._acts = now(), self._done()

    def done(self, *, noticed: bool) -> None:
        """The saboteur has done its work; it may have been `noticed` meanwhile."""
        if not self._broken:
            self.broken()
        if noticed:
            self._seconds = now() - self._broken

    def since(self) -> tuple[float, int]:
        """The seconds from then to when it was noticed, or now; and the acts."""
        return self._seconds or now() - self._broken, self._done() - self._acts

    def _done(self) -> int:
        return sum(bool(entry.act) for entry in self.trial.journal.entries)


@dataclass(frozen=True)
class Saboteur:
    """One that `breaks` something real, in words; `meant` are the checks that must find it, by their names.

    One of those must be the first that does. A name that is no check's is that of an error, or CLAIM. `words` are among
    what is said (see ANY). `trace` proves that it has fired. One that is `bare` is given no VM; an `elsewhere` is the
    name of a test of its own, for what takes a VM, a daemon or a run of another kind. One that is `recorded` shows only
    when the power is lost.
    """

    name: str
    family: Family
    breaks: str
    meant: tuple[str, ...]
    words: str
    install: Callable[[Scene], None] | None = None
    trace: Trace = lambda _: None
    bare: bool = False
    recorded: bool = False
    elsewhere: str = ""

    def __str__(self) -> str:
        return self.name

    def in_words(self, text: str) -> bool:
        """Whether a text says what is to be said of it."""
        return re.search(".*".join(map(re.escape, self.words.split(ANY))), text) is not None


def unopened(
    name: str, breaks: str, meant: tuple[str, ...], words: str, patch: Callable[[Scene], object], trace: Trace
) -> Saboteur:
    """A row of a change to an image that nobody has open."""

    def install(scene: Scene) -> None:
        scene.vm.shut_off()
        scene.begin()
        patch(scene)

    return Saboteur(name, Family.IMAGE, breaks, meant, words, install, trace)


@dataclass(frozen=True)
class Notice:
    """How a saboteur was noticed: by which check first, after how many seconds and acts, and what it said."""

    check: str
    seconds: float
    acts: int
    line: str


def fire(scene: Scene, saboteur: Saboteur) -> Exception | None:
    """Let a saboteur do its work, and see that it has done it; returns what was noticed meanwhile, if that was.

    Raises Idle if it has changed nothing.
    """
    assert saboteur.install is not None
    scene.trace = saboteur.trace
    scene.begin()
    caught: Exception | None = None
    try:
        saboteur.install(scene)
    except (ChainproofError, libvirt.libvirtError) as error:
        caught = error
    scene.done(noticed=caught is not None)

    def fired() -> None:
        try:
            seen = scene.trace(scene)
        except ChainproofError as error:
            raise caught or error from error  # who cannot be asked any more was asked too much
        if seen == scene.before:
            raise NotYet(f"nothing has changed; {_first_line(caught)}")

    try:
        wait_until(f"{saboteur} to be seen to fire", fired, timeout=1)
    except WaitTimeout as error:
        raise Idle(str(error)) from caught
    return caught


def notice(scene: Scene, saboteur: Saboteur) -> Notice:
    """Let a saboteur do its work, and then the universal checks theirs.

    Raises Idle if it has changed nothing, Unnoticed if nothing or something else has noticed it; an error that is no
    failed check, and not what is meant, is raised as it is.
    """
    caught = fire(scene, saboteur)
    if caught is None:
        try:
            with swapped(event_checks, "LATE", 0.5):  # seconds: nothing here is late, but what is to be missed
                verify_all(scene.trial)
            if saboteur.recorded:
                explore_power_loss(scene.trial).check()
        except (ChainproofError, libvirt.libvirtError) as error:
            caught = error
    if caught is None:
        raise Unnoticed(f"{saboteur} lives: every check holds, though {saboteur.breaks}")
    seconds, acts = scene.since()
    told = _explained(scene.trial, caught)
    first = judged(saboteur, findings_of(told), told)
    return Notice(name_of(first), seconds, acts, first.line())


def judged(saboteur: Saboteur, findings: tuple[Finding, ...], error: Exception | None = None) -> Finding:
    """The first of the findings, if all that are meant are there, and one of them is that.

    Raises Unnoticed; or `error`, that they are of, if that is no failed check.
    """
    found = [name_of(finding) for finding in findings] or ["nothing"]
    told = "\n".join(map(str, findings))
    missing = [check for check in saboteur.meant if check not in found]
    if missing and error is not None and not isinstance(error, CheckFailed):
        raise error
    if missing or found[0] not in saboteur.meant or not saboteur.in_words(told):
        wrong = f"not by {', '.join(missing)}" if missing else f"first by {found[0]}, not by what is meant to"
        if not missing and found[0] in saboteur.meant:
            wrong = f"in other words than {saboteur.words!r}"
        raise Unnoticed(
            f"{saboteur} is noticed {wrong}; it is by {', '.join(dict.fromkeys(found))}:\n{told}"
        ) from error
    return findings[0]


def noticed(saboteur: Saboteur, findings: tuple[Finding, ...]) -> Notice:
    """How it was noticed in a run of another kind, whose findings these are. Raises Unnoticed."""
    first = judged(saboteur, findings)
    return Notice(name_of(first), 0.0, 0, first.line())


def name_of(finding: Finding) -> str:
    """What made a finding."""
    return CLAIM if finding.check in ("", "AssertionError") else finding.check


def _explained(trial: Trial, error: Exception) -> Exception:
    if isinstance(error, ChecksFailed):
        return error
    try:
        explain(trial, error)
    except CheckFailed as told:
        return told
    return error


def _first_line(error: Exception | None) -> str:
    return str(error).partition("\n")[0] if error is not None else "it was at the end of its work"
