"""What changed between two stacks, by scenario, from saved results (pytest's --results)."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Unusable

USAGE = "usage: ci/run compare BEFORE AFTER (stacks, or saved results: FILE or FILE:STACK)"


@dataclass(frozen=True)
class Cell:
    """What a scenario came to (Outcome's words), and the first thing that it said about a failure."""

    outcome: str
    said: str


@dataclass(frozen=True)
class Results:
    """One stack's results: `stack` is what is said of it."""

    stack: str
    cells: Mapping[str, Cell]


def changes(before: Results, after: Results) -> list[str]:
    """The lines that say what differs, what is broken first, and nothing of what is the same."""
    lines: dict[str, list[str]] = {"breaks": [], "fixes": [], "otherwise": []}
    missing = Cell("not run", "")
    for scenario in sorted({*before.cells, *after.cells}):
        old, new = before.cells.get(scenario, missing), after.cells.get(scenario, missing)
        if old.outcome == new.outcome:
            continue
        kind = "breaks" if new.outcome in ("fail", "error") else "fixes" if new.outcome == "pass" else "otherwise"
        said = (new if kind == "breaks" else old).said
        lines[kind].append(f"  {scenario}: {old.outcome}, now {new.outcome}" + (f": {said}" if said else ""))
    same = sum(before.cells.get(scenario) == cell for scenario, cell in after.cells.items())
    head = [f"before: {before.stack}", f"after:  {after.stack}"]
    body = [line for kind in lines for line in ([f"{kind}:", *lines[kind]] if lines[kind] else [])]
    return [*head, *body, f"{same} scenarios came to the same"]


def read(name: str) -> Results:
    """The results that `FILE` or `FILE:STACK` names. Raises Unusable if they are not there or not of one stack."""
    file, _, stack = (name, "", "") if Path(name).is_file() else name.partition(":")
    try:
        saved = json.loads(Path(file).read_text())
        chosen = stack or next(iter(saved["stacks"]))
        if not stack and len(saved["stacks"]) > 1:
            raise Unusable(f"{file} has several stacks: {', '.join(saved['stacks'])}", f"name one: {file}:STACK")
        cells = {
            scenario: Cell(row[chosen]["outcome"], row[chosen]["said"])
            for scenario, row in saved["scenarios"].items()
            if chosen in row
        }
        return Results(saved["stacks"][chosen], cells)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unusable(f"no saved results: {name} ({type(error).__name__}: {error})") from error


def main(arguments: Sequence[str]) -> int:
    """Print what changed; 1 if something is broken."""
    if len(arguments) != 2:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        before, after = map(read, arguments)
    except Unusable as error:
        print(f"chainproof: {error}", file=sys.stderr)
        return 2
    lines = changes(before, after)
    print("\n".join(lines))
    return 1 if "breaks:" in lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
