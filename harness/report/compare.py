"""What changed between two stacks, by scenario, from saved results (pytest's --results)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Unusable
from harness.verdict.finding import Finding

USAGE = "usage: ci/run compare BEFORE AFTER [-- pytest arguments] (stacks, or saved results: FILE or FILE:STACK)"
SAME = "the same"
KINDS = ("breaks", "fails otherwise", "breaks as it is known to", "fixes", "otherwise", "not run on both")


MOST_FINDINGS = 5
"""How many findings of a scenario are printed."""


@dataclass(frozen=True)
class Cell:
    """What a scenario came to (Outcome's words), a line about it, and what was found wrong."""

    outcome: str
    line: str
    findings: tuple[Finding, ...] = ()

    def lines(self) -> list[str]:
        """What to print of it: a line for each finding, or the one that there is."""
        found = [finding.line() for finding in self.findings]
        more = [f"and {len(found) - MOST_FINDINGS} more"] if len(found) > MOST_FINDINGS else []
        return [*found[:MOST_FINDINGS], *more] or [line for line in (self.line,) if line]


NOT_RUN = Cell("not run", "")


@dataclass(frozen=True)
class Results:
    """One stack's results: `stack` describes it."""

    stack: str
    cells: Mapping[str, Cell]


def changes(before: Results, after: Results) -> list[str]:
    """The lines that say what differs, what is broken first, and nothing of what is the same."""
    lines = [f"before: {before.stack}", f"after:  {after.stack}"]
    scenarios = sorted({*before.cells, *after.cells})
    pairs = {name: (before.cells.get(name, NOT_RUN), after.cells.get(name, NOT_RUN)) for name in scenarios}
    kinds = {name: _kind(*pair) for name, pair in pairs.items()}
    for kind in KINDS:
        lines += [f"{kind}:"] if kind in kinds.values() else []
        for name in (name for name in scenarios if kinds[name] == kind):
            old, new = pairs[name]
            lines += [f"  {name}", f"      {old.outcome}, now {new.outcome}"]
            for when, cell in (("before:", old), ("after: ", new)):
                lines += [f"      {when} {line}" for line in cell.lines()]
    counts = [f"{kind}: {list(kinds.values()).count(kind)}" for kind in KINDS if kind in kinds.values()]
    same = list(kinds.values()).count(SAME)
    return [*lines, ", ".join([*counts, f"{SAME}: {same} of {len(scenarios)} scenarios"])]


def _kind(old: Cell, new: Cell) -> str:
    """What a change is, by KINDS. That a failure names other processes or seconds is none."""
    failures = ("fail", "error")
    if new.outcome in failures and old.outcome not in failures:
        return "breaks"
    if new.outcome in failures:
        return SAME if old.outcome == new.outcome and _bare(old) == _bare(new) else "fails otherwise"
    if old.outcome == new.outcome:
        return SAME
    if "not run" in (old.outcome, new.outcome):
        return "not run on both"
    if new.outcome == "known bug":
        return "breaks as it is known to"
    return "fixes" if old.outcome in (*failures, "known bug") else "otherwise"


def _bare(cell: Cell) -> list[str]:
    """What was found, without numbers."""
    return sorted(re.sub(r"\d+", "", line) for line in ([str(f) for f in cell.findings] or [cell.line]))


def read(name: str) -> Results:
    """The results that `FILE` or `FILE:STACK` names. Raises Unusable if they are not there or not of one stack."""
    file, _, stack = (name, "", "") if Path(name).is_file() else name.partition(":")
    try:
        saved = json.loads(Path(file).read_text())
        chosen = stack or next(iter(saved["stacks"]))
        if not stack and len(saved["stacks"]) > 1:
            raise Unusable(f"{file} has several stacks: {', '.join(saved['stacks'])}", f"name one: {file}:STACK")
        if chosen not in saved["stacks"]:
            raise Unusable(f"{file} has no stack {chosen}", f"it has {', '.join(saved['stacks'])}")
        cells = {
            scenario: Cell(
                row[chosen]["outcome"],
                row[chosen]["line"],
                tuple(Finding(**finding) for finding in row[chosen].get("findings", [])),
            )
            for scenario, row in saved["scenarios"].items()
            if chosen in row
        }
        return Results(saved["stacks"][chosen], cells)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unusable(f"no saved results: {name} ({type(error).__name__}: {error})") from error


def main(before_named: str, after_named: str) -> int:
    """Print what changed; 1 if something is broken, 2 if one of the two names no saved results."""
    try:
        before, after = read(before_named), read(after_named)
    except Unusable as error:
        print(f"chainproof: {error}", file=sys.stderr)
        return 2
    lines = changes(before, after)
    print("\n".join(lines))
    return 1 if "breaks:" in lines else 0
