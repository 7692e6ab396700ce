"""Every sequence of up to so many acts, in an order that executes each transition once before any twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.acts.act import Act
from harness.explore.abstract import Transition, transition
from harness.oracle.state import State

Possible = Callable[[State, int], Sequence[Act]]


@dataclass(frozen=True)
class Plan:
    """Sequences of acts, of which no other is the beginning, and all transitions that they go through.

    The first `covering` sequences go through each transition at least once.
    """

    sequences: tuple[tuple[Act, ...], ...]
    transitions: frozenset[Transition]
    covering: int


def planned(start: State, length: int, possible: Possible) -> Plan:
    """Every sequence of up to `length` acts from `start` on: the shorter ones are how the longer ones begin."""
    found: list[tuple[tuple[Act, ...], tuple[Transition, ...]]] = []
    _extend(start, length, possible, (), (), found)
    seen: set[Transition] = set()
    first: list[tuple[Act, ...]] = []
    rest: list[tuple[Act, ...]] = []
    for acts, crossed in found:
        (rest if seen.issuperset(crossed) else first).append(acts)
        seen.update(crossed)
    return Plan((*first, *rest), frozenset(seen), len(first))


def _extend(
    state: State,
    length: int,
    possible: Possible,
    acts: tuple[Act, ...],
    crossed: tuple[Transition, ...],
    found: list[tuple[tuple[Act, ...], tuple[Transition, ...]]],
) -> None:
    following = possible(state, len(acts) + 1) if len(acts) < length else ()
    if not following:
        found.append((acts, crossed))
    for act in following:
        _extend(act.after(state), length, possible, (*acts, act), (*crossed, transition(state, act)), found)
