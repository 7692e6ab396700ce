"""Runs programs on real VMs, holds each step to the oracle, and says what became of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import libvirt

from harness.acts.act import Act, read
from harness.errors import ChainproofError, Unusable
from harness.explore import step
from harness.explore.coverage import Coverage
from harness.explore.program import Program
from harness.explore.universe import DEVICES, Universe, ending, merged, possible, until_healed
from harness.journal import Journal
from harness.oracle.content import Impossible
from harness.oracle.image import Qcow2
from harness.oracle.state import State
from harness.stack.block_devices import why_none
from harness.stack.offers import OFFERS
from harness.trial.ground import Daemons, Kind, Platform
from harness.trial.trial import Trial
from harness.verdict.checks import verify_all
from harness.verdict.evidence import collect
from harness.verdict.explanation import cause
from harness.verdict.finding import ChecksFailed, Finding, findings_of
from harness.verdict.known_bug import KnownBug, explanation
from harness.verdict.known_bugs import KNOWN_BUGS
from harness.verdict.power_loss import explore_power_loss
from harness.waiting import now

_ACCIDENTAL = re.compile(r"\(.*?\)+|'.*?'|\b(sn|n)?\d+\b|\b(base|data|top|vd[ab])\b|\d+")
Source = Callable[[State, int], Act | None]
"""Gives the next act from the state and its number (from 1 on); None at the end."""


@dataclass(frozen=True)
class Outcome:
    """What became of a program: the first `done` of its acts were done and held, `findings` are what ended it then.

    `known` are the known bugs that it has met; `is_known` says that one of them explains the findings. `evidence` is
    where the rest is, if it was kept.
    """

    program: Program
    done: int
    seconds: float
    findings: tuple[Finding, ...] = ()
    known: tuple[KnownBug, ...] = ()
    is_known: bool = False
    evidence: Path | None = None
    remark: str = ""

    @property
    def is_red(self) -> bool:
        """Whether something is wrong that nobody knows."""
        return bool(self.findings) and not self.is_known

    @property
    def signature(self) -> str:
        """What the first finding is about, without names and numbers: to tell one from another."""
        first = self.findings[0]
        claim = _ACCIDENTAL.sub("", first.claim or first.seen.partition("\n")[0])
        return " ".join([first.check, type(self._last).__name__, *claim.split()])

    @property
    def _last(self) -> Act | None:
        acts = self.program.acts
        return acts[min(self.done, len(acts) - 1)] if acts else None

    def __str__(self) -> str:
        words = [*map(str, self.findings), "", "by this program:", str(self.program)]
        where = f"evidence: {self.evidence}" if self.evidence else ""
        return "\n".join([*words, *filter(None, [self.remark, where])])


class Explorer:
    """Runs programs on a platform; what is red leaves its evidence below `evidence`.

    With `power_loss`, the power is lost at every write of a program, in memory, when it is over. `coverage` sums up
    what was done and held.
    """

    def __init__(
        self,
        platform: Platform,
        daemons: Daemons,
        evidence: Path,
        table: Sequence[KnownBug] = KNOWN_BUGS,
        *,
        power_loss: bool = True,
    ) -> None:
        self.platform = platform
        self.coverage = Coverage()
        self._daemons = daemons
        self._power_loss = power_loss
        self._evidence = evidence
        self._bugs = [bug for bug in table if bug.affects(platform.stack)]
        self._left_out = {bug.left_out for bug in self._bugs}

    def can_be(self, universe: Universe) -> bool:
        """Whether a world can be made, and grown, on this stack."""
        form = universe.format
        if any(getattr(universe.driver, name, None) for name in self._left_out):
            return False
        return not (isinstance(form, Qcow2) and form.subclusters) or self._offers("inherited-subclusters")

    def _offers(self, name: str) -> bool:
        if name == DEVICES:
            return not why_none(self.platform.ground.settings.work)
        return OFFERS[name].is_in(self.platform.stack)

    def possible(self, state: State, number: int) -> tuple[Act, ...]:
        """The acts that can be done next, on this stack."""
        acts = possible(state, number, self._offers)
        return tuple(act for act in acts if type(act).__name__ not in self._left_out)

    def run(self, program: Program, *, keep: str = "") -> Outcome:
        """Do a program in a trial of its own; with `keep`, the evidence of a red one is kept under that name.

        Raises Unusable where no VM can be started at all.
        """
        acts = iter(program.acts)
        return self.follow(program.universe, lambda _, __: next(acts, None), killed=program.killed, keep=keep)

    def follow(self, universe: Universe, source: Source, *, killed: bool, keep: str = "") -> Outcome:
        """Do what `source` gives, act by act; as `run`."""
        begun = now()
        outcome: Outcome | None = None
        try:
            daemon = self._daemons.sound(Kind(self._power_loss, ill=True, encrypted=bool(universe.format.secret)))
            with self.platform.trial(daemon, keep or "explored") as trial:
                running = _Running(trial, universe, self._bugs, killed=killed)
                findings = running.all(source)
                if self._power_loss and not findings:
                    findings = running.lose_power(self.coverage)
                program = Program(universe, tuple(running.acts), killed)
                known = bool(findings) and running.explained(findings)
                outcome = Outcome(program, running.done, now() - begun, findings, tuple(running.met), known)
                if keep and outcome.is_red:
                    outcome = self._with_evidence(outcome, trial)
        except (ChainproofError, libvirt.libvirtError) as error:
            if outcome is None:
                raise
            self._daemons.renew()  # it does not let go of what it has
            if not outcome.findings:
                outcome = replace(outcome, findings=findings_of(error))
        self.coverage.add(outcome.program, outcome.done, outcome.seconds)
        return outcome

    def _with_evidence(self, outcome: Outcome, trial: Trial) -> Outcome:
        directory = collect(trial, str(outcome), self._evidence)
        (directory / "program.json").write_text(outcome.program.as_json())
        claim = outcome.findings[0].claim or outcome.findings[0].seen.splitlines()[0]
        (directory / "test_found.py").write_text(outcome.program.as_scenario(claim))
        return replace(outcome, evidence=directory)


class _Running:
    """A program on its way: `acts` are those that it has begun, `done` counts those that were done and held.

    `met` are the known bugs of `bugs` that have shown: what they explain of the checks does not end the program.
    """

    def __init__(self, trial: Trial, universe: Universe, bugs: Sequence[KnownBug], *, killed: bool) -> None:
        self.acts: list[Act] = []
        self.done = 0
        self.met: dict[KnownBug, None] = {}
        self._trial = trial
        self._universe = universe
        self._bugs = bugs
        self._killed = killed

    def all(self, source: Source) -> tuple[Finding, ...]:
        """Set up, do each act and hold what is then to the oracle; end, heal, look at all: what ended it, if anything.

        Raises Unusable.
        """
        try:
            self._all(source)
        except Unusable:
            raise
        except (ChainproofError, libvirt.libvirtError, Impossible, OSError) as error:
            return findings_of(cause(self._trial, error))
        return ()

    def lose_power(self, coverage: Coverage) -> tuple[Finding, ...]:
        """Lose the power at every write; what is found that no known bug explains. Counts the states."""
        try:
            lost = explore_power_loss(self._trial)
        except ChainproofError as error:
            return findings_of(error)
        coverage.states += lost.states
        coverage.state_seconds += lost.seconds
        return () if not lost.findings or self.explained(lost.findings) else lost.findings

    def explained(self, findings: Sequence[Finding]) -> bool:
        """Whether known bugs that what was done may meet explain all of them; then they are `met`."""
        met = explanation(findings, met_by(self._bugs, self._trial.journal))
        self.met.update(dict.fromkeys(met or ()))
        return met is not None

    def _all(self, source: Source) -> None:
        trial = self._trial
        trial.do(*self._universe.set_up())
        while (act := source(trial.state, len(self.acts) + 1)) is not None:
            self.acts.append(act)
            self._step(act)
            self.done += 1
        for acts in (ending, until_healed) if self._killed else (until_healed,):
            for act in acts(trial.state):
                self._step(act)
        if self._killed:  # after every fault that must be possible
            trial.do(*merged(trial.state))
        self._look(lambda: verify_all(trial, lambda finding: self.explained((finding,))))

    def _step(self, act: Act) -> None:
        self._trial.do(act)
        self._look(lambda: step.hold(self._trial, f"after {act!r}", images=not self._killed))

    def _look(self, look: Callable[[], object]) -> None:
        """Look; what known bugs explain of it changes nothing of what comes next."""
        try:
            look()
        except ChecksFailed as failed:
            if not self.explained(failed.findings):
                raise


def met_by(bugs: Iterable[KnownBug], journal: Journal) -> list[KnownBug]:
    """Those of the bugs that what was done may meet."""
    done = "\n".join(repr(read(entry.act)) for entry in journal.entries if entry.act)
    return [bug for bug in bugs if re.match(bug.acts, done)]
