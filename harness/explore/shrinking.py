"""Makes a program that shows something short: acts are taken out, many at once and then one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from harness.acts.act import Act
from harness.acts.storage import BreakStorage, HealStorage
from harness.explore.ailing import is_met
from harness.explore.explorer import Outcome
from harness.explore.program import Program, states
from harness.oracle.content import Impossible
from harness.waiting import now


def shortest(outcome: Outcome, run: Callable[[Program], Outcome], deadline: float) -> Outcome:
    """The shortest outcome found by the `deadline` (of harness.waiting.now) that has the signature of `outcome`."""
    best = outcome
    size = max(len(best.program.acts) // 2, 1)
    while True:
        tried = _next(best, size, run, deadline)
        if tried is not None:
            best = tried
            size = max(min(size, len(best.program.acts) // 2), 1)
        elif size == 1 or now() > deadline:
            return best
        else:
            size //= 2


def _next(best: Outcome, size: int, run: Callable[[Program], Outcome], deadline: float) -> Outcome | None:
    """An outcome as `best` of a program with `size` acts less, or one that is simpler; None if there is none."""
    for program in shorter(best.program, size):
        if now() > deadline:
            return None
        outcome = run(program)
        if outcome.findings and outcome.signature == best.signature:
            return outcome
    return None


def shorter(program: Program, size: int) -> Iterator[Program]:
    """All programs with `size` acts in a row less that can be done at all, those without the last ones first.

    With an act that breaks the storage go all up to the one that heals it.
    """
    for start in range(len(program.acts) - size, -1, -size):
        acts = (*program.acts[:start], *program.acts[_end(program.acts, start + size, start) :])
        if is_possible(replace(program, acts=acts)):
            yield replace(program, acts=acts)


def _end(acts: Sequence[Act], least: int, start: int) -> int:
    """Where a stretch of acts ends that begins at `start` and goes to `least`, or on until its storage is well."""
    ill = False
    for number, act in enumerate(acts[start:], start):
        if number >= least and not ill:
            return number
        ill = (ill or isinstance(act, BreakStorage)) and not isinstance(act, HealStorage)
    return len(acts)


def is_possible(program: Program) -> bool:
    """Whether each act can be done after those before it, and all that is broken is met."""
    try:
        found = states(program)
    except Impossible:
        return False
    return all(is_met(state, act) for state, act in zip(found, program.acts, strict=False))
