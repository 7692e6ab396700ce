"""What was explored: acts, pairs of acts, transitions; it adds up, and travels as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from harness.explore.abstract import kind_of, transition
from harness.explore.program import Program, states

_BETWEEN = " > "
_COUNTS = ("programs", "steps", "seconds", "states", "state_seconds")


def named(crossed: object) -> str:
    """A short name of a transition, the same in every process."""
    return sha256(repr(crossed).encode()).hexdigest()[:12]


@dataclass
class Coverage:
    """What was done and held: by kind of act, by pair of kinds that followed one another, and by transition.

    `seconds` are those of the programs, verification included. `states` are those in which the power was lost, judged
    in `state_seconds`.
    """

    programs: int = 0
    steps: int = 0
    seconds: float = 0.0
    states: int = 0
    state_seconds: float = 0.0
    acts: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    transitions: set[str] = field(default_factory=set)

    def add(self, program: Program, done: int, seconds: float) -> None:
        """Count the first `done` acts of a program."""
        before = "the start"
        for state, act in zip(states(program), program.acts[:done], strict=False):
            self.transitions.add(named(transition(state, act)))
            self.acts[kind_of(act)] += 1
            self.pairs[pair(before, kind_of(act))] += 1
            before = kind_of(act)
        self.programs += 1
        self.steps += done
        self.seconds += seconds

    def as_json(self) -> str:
        """As JSON text; `summed` is the reverse."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        return json.dumps({**counts, "acts": self.acts, "pairs": self.pairs, "transitions": sorted(self.transitions)})


def pair(before: str, kind: str) -> str:
    """The name of a pair of kinds."""
    return f"{before}{_BETWEEN}{kind}"


def summed(texts: Iterable[str]) -> Coverage:
    """All that several texts of JSON tell of."""
    total = Coverage()
    for text in texts:
        one = json.loads(text)
        for name in _COUNTS:
            setattr(total, name, getattr(total, name) + one[name])
        total.acts.update(one["acts"])
        total.pairs.update(one["pairs"])
        total.transitions.update(one["transitions"])
    return total
