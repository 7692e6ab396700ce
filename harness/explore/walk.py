"""Random walks: Hypothesis draws integers, each picks an act of those possible.

An integer picks a kind of act first, of the kinds seen least so far in the front, and then one act of that kind. What
was seen is counted before a round of walks begins, and comes of the walks before: the same seed gives the same walks.
What is found is made short act by act (harness.explore.shrinking), as an integer would mean another act elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, Phase, Verbosity, given, settings, strategies
from hypothesis import seed as seeded

from harness.acts.act import Act
from harness.explore.abstract import kind_of
from harness.explore.coverage import Coverage, pair
from harness.explore.explorer import Explorer, Outcome
from harness.explore.shrinking import shortest
from harness.explore.universe import Universe
from harness.oracle.driver import Driver
from harness.oracle.image import Qcow2, Raw
from harness.oracle.secret import SECRETS
from harness.oracle.state import State
from harness.waiting import now

LENGTH = 40
"""How many acts a walk has, unless something is found."""
_ROUND = 8  # walks between two counts of what was seen
_PICKS = strategies.integers(0, (1 << 16) - 1)
_TROUBLED = 2  # so often a kind of act must have ended a walk, to be left out of most
UNIVERSES = (
    Universe(),
    Universe(driver=Driver(iothread=True)),
    Universe(tail=512),
    Universe(format=Qcow2(cluster_size=4096)),
    Universe(driver=Driver("writeback")),
    Universe(format=Qcow2(cluster_size=131072, subclusters=True)),
    Universe(cells=12, format=Qcow2(lazy_refcounts=True), driver=Driver("directsync")),
    Universe(cells=4, format=Qcow2(cluster_size=32768, refcount_bits=1)),
    Universe(format=Qcow2(secret=SECRETS[0])),
    Universe(format=Raw(secret=SECRETS[0])),
    Universe(driver=Driver(io="native", discard="ignore")),
    Universe(driver=Driver(io="threads", detect_zeroes="unmap")),
)
"""The worlds that rounds of walks begin in, in turn."""


@dataclass
class Found:
    """What walks have found: each `red` once, made short; how often each known bug ended one."""

    red: dict[str, Outcome] = field(default_factory=dict)
    known: Counter[str] = field(default_factory=Counter)


class Walks:
    """Walks of an explorer from a `seed` on; `shrink_seconds` is what each finding may take to be made short."""

    def __init__(self, explorer: Explorer, seed: int, shrink_seconds: float = 60.0) -> None:
        self.found = Found()
        self._explorer = explorer
        self._seed = seed
        self._shrink_seconds = shrink_seconds
        self._troubled: Counter[str] = Counter()

    def go(self, until: Callable[[], bool], length: int = LENGTH) -> Found:
        """Walk, round after round, until that is true after a walk."""
        number = 0
        while not until():
            self._round(number, until, length)
            number += 1
        return self.found

    def rounds(self, count: int) -> Found:
        """Walk so many rounds."""
        for number in range(count):
            self._round(number, lambda: False, LENGTH)
        return self.found

    def _round(self, number: int, until: Callable[[], bool], length: int) -> None:
        chooser = _Chooser(self._explorer, frozenset() if number % 4 == 0 else self._avoided())
        universes = [each for each in UNIVERSES if self._explorer.can_be(each)]
        universe = universes[number % len(universes)]

        @seeded(self._seed * 1000 + number)
        @settings(
            max_examples=_ROUND,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )
        @given(strategies.booleans(), strategies.lists(_PICKS, min_size=length, max_size=length))
        def walk(killed: bool, picks: list[int]) -> None:
            if not until():
                self._enter(self._explorer.follow(universe, _Picks(chooser, iter(picks)), killed=killed))

        walk()

    def _enter(self, outcome: Outcome) -> None:
        if outcome.findings and outcome.program.acts:
            self._troubled[kind_of(outcome.program.acts[-1])] += 1
        self.found.known.update(bug.sentence for bug in outcome.known)
        if outcome.is_red and outcome.signature not in self.found.red:
            self.found.red[outcome.signature] = self._shortened(outcome)

    def _shortened(self, outcome: Outcome) -> Outcome:
        """The shortest program that shows the same, done once more for its evidence; if that is green, `outcome`."""
        best = shortest(outcome, self._explorer.run, now() + self._shrink_seconds)
        again = self._explorer.run(best.program, keep=f"walk {self._seed} {len(self.found.red) + 1}")
        return again if again.is_red else replace(best, remark="it does not show each time")

    def _avoided(self) -> frozenset[str]:
        return frozenset(kind for kind, count in self._troubled.items() if count >= _TROUBLED)


class _Chooser:
    """Picks acts by integers: kinds that were seen least come first, and are picked more often."""

    def __init__(self, explorer: Explorer, avoided: frozenset[str]) -> None:
        self._explorer = explorer
        self._avoided = avoided
        coverage: Coverage = explorer.coverage
        self._acts, self._pairs = Counter(coverage.acts), Counter(coverage.pairs)

    def choose(self, pick: int, state: State, number: int, before: str) -> Act | None:
        """The act that `pick` means in this state, after one of the kind `before`; None if none is possible."""
        kinds: dict[str, list[Act]] = {}
        for act in self._explorer.possible(state, number):
            kinds.setdefault(kind_of(act), []).append(act)
        names = [name for name in kinds if name not in self._avoided] or list(kinds)
        if not names:
            return None
        names.sort(key=lambda name: (self._pairs[pair(before, name)], self._acts[name]))
        count = len(names)
        first, pick = pick % count, pick // count
        second, pick = pick % count, pick // count
        acts = kinds[names[first * second // count]]  # the product of two: the front is likelier
        return acts[pick % len(acts)]


class _Picks:
    """A source of acts, an integer each."""

    def __init__(self, chooser: _Chooser, picks: Iterator[int]) -> None:
        self._chooser = chooser
        self._picks = picks
        self._before = "the start"

    def __call__(self, state: State, number: int) -> Act | None:
        """The next act."""
        pick = next(self._picks, None)
        act = None if pick is None else self._chooser.choose(pick, state, number, self._before)
        self._before = kind_of(act) if act else ""
        return act
