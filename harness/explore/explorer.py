"""Runs programs, sequences of acts in a small world, on real VMs, and says what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import libvirt

from harness.acts.act import Act
from harness.errors import ChainproofError, CheckFailed
from harness.explore import step
from harness.explore.abstract import Transition, kind_of, transition
from harness.explore.universe import Universe, ending, merged, possible, until_healed
from harness.oracle.content import Impossible
from harness.oracle.state import State
from harness.stack.offers import OFFERS
from harness.trial.ground import Daemons, Platform
from harness.trial.trial import Trial
from harness.verdict.checks import verify_all
from harness.verdict.evidence import collect
from harness.verdict.explanation import explain
from harness.verdict.finding import Finding, findings_of
from harness.verdict.known_bugs import KNOWN_BUGS, KnownBug
from harness.waiting import now


@dataclass(frozen=True)
class Program:
    """What is done: the world, the acts in it, and whether the end is a `killed` QEMU.

    Then nothing flushes before it looks. Otherwise images are read after every step, and the VM is shut off politely.
    """

    universe: Universe
    acts: tuple[Act, ...]
    killed: bool = False

    def __str__(self) -> str:
        return "\n".join([str(self.universe), *(f"{n}. {act}" for n, act in enumerate(self.acts, 1)), self.ending])

    @property
    def ending(self) -> str:
        """In words."""
        return "then QEMU is killed" if self.killed else "then all ends politely"


@dataclass(frozen=True)
class Outcome:
    """What became of a program: `done` are the acts that were done and held, `findings` what was wrong with the next.

    `bug` is the known bug that explains all of them, if one does. `evidence` is where the rest is; None where nothing
    is wrong.
    """

    program: Program
    done: int
    seconds: float
    findings: tuple[Finding, ...] = ()
    bug: KnownBug | None = None
    evidence: Path | None = None

    @property
    def is_red(self) -> bool:
        """Whether something is wrong that nobody knows."""
        return bool(self.findings) and self.bug is None


@dataclass
class Coverage:
    """What was done and held, by kind of act, by pair of acts that followed one another, and by transition."""

    acts: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    transitions: set[Transition] = field(default_factory=set)
    steps: int = 0
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count what a program did."""
        state = started(outcome.program.universe)
        before = ""
        for act in outcome.program.acts[: outcome.done]:
            self.transitions.add(transition(state, act))
            self.acts[kind_of(act)] += 1
            self.pairs[before, kind_of(act)] += 1
            before, state = kind_of(act), act.after(state)
        self.steps += outcome.done
        self.seconds += outcome.seconds


def started(universe: Universe) -> State:
    """The state in which a world begins."""
    state = State()
    for act in universe.set_up():
        state = act.after(state)
    return state


class Explorer:
    """Runs programs on a platform; what is red leaves its evidence below `evidence`."""

    def __init__(
        self, platform: Platform, daemons: Daemons, evidence: Path, table: Sequence[KnownBug] = KNOWN_BUGS
    ) -> None:
        self.platform = platform
        self.daemons = daemons
        self.evidence = evidence
        self.coverage = Coverage()
        self.bugs = [bug for bug in table if bug.affects(platform.stack)]
        self._number = 0

    def possible(self, state: State, number: int) -> tuple[Act, ...]:
        """The acts that can be done next, on this stack."""
        return possible(state, number, lambda name: OFFERS[name].is_in(self.platform.stack))

    def run(self, program: Program, *, collecting: bool = True) -> Outcome:
        """Do a program in a trial of its own; without `collecting`, a red one leaves no evidence.

        Raises Unusable where no VM can be started at all.
        """
        self._number += 1
        begun = now()
        with self.platform.trial(self.daemons.sound(), f"explored {self._number}") as trial:
            running = _Running(trial, program)
            try:
                running.all()
            except (ChainproofError, libvirt.libvirtError, Impossible, OSError) as error:
                cause = _explained(trial, error)
                outcome = self._judged(program, running.done, now() - begun, findings_of(cause))
                if collecting and outcome.is_red:
                    outcome = self._with_evidence(outcome, trial)
            else:
                outcome = Outcome(program, running.done, now() - begun)
        self.coverage.add(outcome)
        return outcome

    def _judged(self, program: Program, done: int, seconds: float, findings: tuple[Finding, ...]) -> Outcome:
        explaining = [next((bug for bug in self.bugs if bug.explains(finding)), None) for finding in findings]
        bug = explaining[0] if explaining and all(explaining) else None
        return Outcome(program, done, seconds, findings, bug)

    def _with_evidence(self, outcome: Outcome, trial: Trial) -> Outcome:
        words = "\n\n".join([*map(str, outcome.findings), str(outcome.program)])
        kept = collect(trial, words, self.evidence)
        return Outcome(outcome.program, outcome.done, outcome.seconds, outcome.findings, outcome.bug, kept)


class _Running:
    """A program on its way: `done` counts the acts that were done and held."""

    def __init__(self, trial: Trial, program: Program) -> None:
        self.done = 0
        self._trial = trial
        self._program = program

    def all(self) -> None:
        """Set up, do each act and hold what is then to the oracle; heal, end, and look at all there is."""
        trial, program = self._trial, self._program
        trial.do(*program.universe.set_up())
        for act in program.acts:
            self._step(act)
            self.done += 1
        for act in ending(trial.state) if program.killed else ():
            self._step(act)
        for act in until_healed(trial.state):
            self._step(act)
        if program.killed:  # what is possible after every fault
            trial.do(*merged(trial.state))
        verify_all(trial)

    def _step(self, act: Act) -> None:
        self._trial.do(act)
        step.hold(self._trial, f"after {act!r}", images=not self._program.killed)


def _explained(trial: Trial, error: Exception) -> Exception:
    try:
        explain(trial, error)
    except CheckFailed as cause:
        return cause
    return error
