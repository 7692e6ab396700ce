"""A libvirtd that ends, by SIGKILL, at a chosen moment of those when what it keeps on disk of a domain changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import libvirt

from harness.acts.act import Act
from harness.acts.faults import KillDaemon, StartDaemon
from harness.errors import Ailing, ChainproofError
from harness.explore.explorer import met_by
from harness.explore.universe import Universe, merged, until_healed
from harness.oracle.state import Power
from harness.stack.daemon import Daemon
from harness.stack.view import Preload
from harness.trial.ground import Daemons, Platform
from harness.trial.trial import Trial
from harness.verdict.checks import verify_all
from harness.verdict.evidence import collect
from harness.verdict.explanation import cause
from harness.verdict.finding import Finding, findings_of
from harness.verdict.known_bug import KnownBug, explanation
from harness.verdict.known_bugs import KNOWN_BUGS
from images.preload import preload

SOURCE = Path(__file__).with_name("mortal.c")
_OF_THE_DEAD = frozenset({"ends of jobs", "events alike", "pauses", "daemon unharmed", "QEMU's end"})
"""Checks of what was told and logged: what a daemon told before it died is not held against the next one."""


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
        self._number = int(self._order.read_text().split()[0]) if self._order.exists() else 0

    def end_at(self, moment: int) -> None:
        """Have the libvirtd that runs end at the `moment`-th moment from now on; never if that is 0."""
        self._number += 1
        fresh = self._order.with_name("mortal.new")
        fresh.write_text(f"{self._number} {moment} {self._daemon.pid}\n")
        fresh.rename(self._order)

    def live_on(self) -> tuple[Point, ...]:
        """Have it live on; returns the moments that it has passed since the order to end, up to that end."""
        ordered = self._number
        self.end_at(0)
        text = self._points.read_text() if self._points.exists() else ""
        lines = [line.split(" ", 2) for line in text.splitlines()]
        return tuple(Point(int(number), words) for order, number, words in lines if int(order) == ordered)


@dataclass(frozen=True)
class MortalPlatform(Platform):
    """A platform whose daemons Mortal can end."""

    def daemon(self, *, stock: bool = False, recorded: bool = False, preloads: tuple[Preload, ...] = ()) -> Daemon:
        """A daemon; enter it to start it."""
        mortal = Preload(preload(SOURCE, self.ground.settings.cache.preloads))
        return super().daemon(stock=stock, recorded=recorded, preloads=(*preloads, mortal))


@dataclass(frozen=True)
class Death:
    """What became of an act whose daemon ended at a moment of it: what looking said, and what was found wrong.

    `known` are the known bugs that explain all of it, if they do.
    """

    point: Point
    outcome: str
    findings: tuple[Finding, ...]
    known: tuple[KnownBug, ...] = ()

    def __str__(self) -> str:
        found = "".join(f"\n{finding}" for finding in self.findings)
        return f"libvirtd ended {self.point.words} (moment {self.point.number}): it is {self.outcome}{found}"


class Deaths:
    """Does acts on a stack's daemon, which ends at each moment of them in turn; red ones leave their `evidence`."""

    def __init__(self, platform: Platform, evidence: Path) -> None:
        self._platform = MortalPlatform(platform.ground, platform.stack)
        self._evidence = evidence
        self._bugs = [bug for bug in KNOWN_BUGS if bug.affects(platform.stack)]

    def of(self, before: Sequence[Act], act: Act) -> Iterator[Death]:
        """Do `before`, and `act` with a daemon that ends at its first moment; again with the second, and so on."""
        with Daemons(self._platform) as daemons:
            for number in count(1):
                with self._platform.trial(daemons.sound(), f"{type(act).__name__} {number}") as trial:
                    trial.do(*Universe().set_up(), *before)
                    death = self._died(trial, act, number)
                if death is None:
                    return
                if death.findings:
                    daemons.renew()
                yield death

    def _died(self, trial: Trial, act: Act, number: int) -> Death | None:
        """What became of it; None if the act has no such moment."""
        first = trial.state.daemons
        findings: tuple[Finding, ...] = ()
        known: tuple[KnownBug, ...] = ()
        outcome = "neither done nor refused"
        passed: tuple[Point, ...] = ()
        mortal = Mortal(trial.daemon)
        mortal.end_at(number)
        try:
            outcome = str(trial.stage.attempt(act, recovery=(KillDaemon(), StartDaemon())))
            _settle(trial)
            passed = mortal.live_on()
            if trial.state.daemons == first and number > len(passed):
                return None
            if trial.state.daemons == first:  # it ended after its answer
                trial.do(KillDaemon(), StartDaemon())
            for acts in (until_healed, merged):
                trial.do(*acts(trial.state))
            verify_all(trial, lambda finding: finding.check in _OF_THE_DEAD)
        except (ChainproofError, libvirt.libvirtError) as error:
            passed = passed or mortal.live_on()
            findings = tuple(f for f in findings_of(cause(trial, error)) if f.check not in _OF_THE_DEAD)
            known = explanation(findings, met_by(self._bugs, trial.journal)) or ()
            if findings and not known:
                collect(trial, f"{act!r}, libvirtd ended at its moment {number}\n{error}", self._evidence)
        point = passed[number - 1] if number <= len(passed) else Point(number, "never, since it failed before")
        return Death(point, outcome, findings, known)


def _settle(trial: Trial) -> None:
    """Wait for what libvirtd and the guest do after an answer; libvirtd may end by that, which is seen later."""
    for vm in trial.vms:
        with suppress(libvirt.libvirtError, Ailing):
            vm.domain.await_shut_off()
        if vm.state.power is Power.RUNNING:
            for target in vm.state.disks:  # its guest sees one that was plugged in a moment later
                vm.domain.port.await_disk(target)
