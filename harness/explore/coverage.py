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


def named(crossed: object) -> str:
    """A short name of a transition, the same in every process."""
    return sha256(repr(crossed).encode()).hexdigest()[:12]


@dataclass
class Coverage:
    """What was done and held: by kind of act, by pair of kinds that followed one another, and by transition.

    `seconds` are those of the programs, verification included.
    """

    programs: int = 0
    steps: int = 0
    seconds: float = 0.0
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
        counts = {"programs": self.programs, "steps": self.steps, "seconds": self.seconds}
        return json.dumps({**counts, "acts": self.acts, "pairs": self.pairs, "transitions": sorted(self.transitions)})


def pair(before: str, kind: str) -> str:
    """The name of a pair of kinds."""
    return f"{before}{_BETWEEN}{kind}"


def summed(texts: Iterable[str]) -> Coverage:
    """All that several texts of JSON tell of."""
    total = Coverage()
    for text in texts:
        one = json.loads(text)
        total.programs += one["programs"]
        total.steps += one["steps"]
        total.seconds += one["seconds"]
        total.acts.update(one["acts"])
        total.pairs.update(one["pairs"])
        total.transitions.update(one["transitions"])
    return total
