"""A libvirtd that ends, by SIGKILL, at a chosen moment of those when what it keeps on disk of a domain changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import libvirt

from harness.acts.act import Act
from harness.acts.faults import KillDaemon, StartDaemon
from harness.errors import ChainproofError
from harness.explore.universe import Universe, merged, until_healed
from harness.stack.daemon import Daemon
from harness.stack.view import Preload
from harness.trial.ground import Platform
from harness.trial.trial import Trial
from harness.verdict.checks import verify_all
from harness.verdict.evidence import collect
from harness.verdict.finding import Finding, findings_of
from images.preload import preload

SOURCE = Path(__file__).with_name("mortal.c")


@dataclass(frozen=True)
class Point:
    """A moment: the `number` of it since the order (from 1 on), and what it is before or after, in words."""

    number: int
    words: str


class Mortal:
    """Orders to the libvirtd of `daemon`, which mortal.c is loaded into."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._order = daemon.record / "mortal"
        self._points = daemon.record / "points"
        self._number = 0

    def end_at(self, point: int) -> None:
        """Have the one that runs end at the `point`-th moment from now on; never if that is 0."""
        self._number += 1
        fresh = self._order.with_name("mortal.new")
        fresh.write_text(f"{self._number} {point} {self._daemon.pid}\n")
        fresh.rename(self._order)

    def passed(self) -> list[Point]:
        """The moments since the last order."""
        text = self._points.read_text() if self._points.exists() else ""
        lines = [line.split(" ", 2) for line in text.splitlines()]
        return [Point(int(number), words) for order, number, words in lines if int(order) == self._number]


@dataclass(frozen=True)
class Death:
    """What became of an act whose daemon ended at a moment of it: what looking said, and what was found wrong."""

    point: Point
    outcome: str
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        found = "".join(f"\n{finding}" for finding in self.findings)
        return f"libvirtd ended {self.point.words} (moment {self.point.number}): it is {self.outcome}{found}"


class Deaths:
    """Does acts on a platform's daemon, which ends at each moment of them in turn."""

    def __init__(self, platform: Platform, daemon: Daemon, evidence: Path) -> None:
        self._platform = platform
        self._daemon = daemon
        self._mortal = Mortal(daemon)
        self._evidence = evidence

    def of(self, before: Sequence[Act], act: Act) -> Iterator[Death]:
        """Do `before`, and `act` with a daemon that ends at its first moment; again with the second, and so on."""
        for number in count(1):
            with self._platform.trial(self._daemon, f"{type(act).__name__} {number}") as trial:
                trial.do(*Universe().set_up(), *before)
                self._mortal.end_at(number)
                death = self._died(trial, act, number)
                self._mortal.end_at(0)
            if death is None:
                return
            yield death

    def _died(self, trial: Trial, act: Act, number: int) -> Death | None:
        """What became of it; None if the act has no such moment."""
        first = trial.state.daemons
        findings: tuple[Finding, ...] = ()
        outcome = "neither done nor refused"
        try:
            outcome = str(trial.stage.attempt(act, recovery=(KillDaemon(), StartDaemon())))
            if trial.state.daemons == first:
                return None
            trial.do(*until_healed(trial.state))
            trial.do(*merged(trial.state))
            verify_all(trial)
        except (ChainproofError, libvirt.libvirtError) as error:
            findings = findings_of(error)
            collect(trial, f"{act!r}, libvirtd ended at its moment {number}\n{error}", self._evidence)
        point = next(point for point in self._mortal.passed() if point.number == number)
        return Death(point, outcome, findings)


def mortal_daemon(platform: Platform) -> Daemon:
    """A daemon that Mortal can end; enter it to start it."""
    return platform.daemon(preloads=(Preload(preload(SOURCE, platform.ground.settings.cache.preloads)),))
