"""Scenario by stack: what each scenario came to on each stack, as a table and as results to save."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from harness.verdict.finding import Finding


class Outcome(StrEnum):
    """What a scenario came to on a stack, from best to worst; the value is its letter in the table."""

    PASS = "."
    NOT_OFFERED = "n"
    SKIPPED = "s"
    KNOWN_BUG = "x"
    FAIL = "F"
    ERROR = "E"

    @property
    def words(self) -> str:
        """The name for people and for saved results."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Cell:
    """What a scenario came to on a stack, with a `line` about it and what was found wrong."""

    outcome: Outcome
    line: str = ""
    findings: tuple[Finding, ...] = ()

    def or_worse(self, other: Cell) -> Cell:
        """The worse of two phases of a scenario; nothing later takes the place of the first failure."""
        order = list(Outcome)
        if self.outcome in (Outcome.FAIL, Outcome.ERROR) or order.index(other.outcome) < order.index(self.outcome):
            return self
        return Cell(other.outcome, other.line or self.line, other.findings or self.findings)


Cells = Mapping[str, Mapping[str, Cell]]
"""By scenario, then by stack."""


def table(stacks: Mapping[str, str], cells: Cells) -> list[str]:
    """The lines of the table: a column per stack (name to description), a letter per scenario and stack."""
    numbers = [f"{number:>3}" for number in range(1, len(stacks) + 1)]
    lines = [f"{number}  {words}" for number, words in zip(numbers, stacks.values(), strict=True)]
    letters = ", ".join(f"{outcome.value} {outcome.words}" for outcome in Outcome)
    lines += [f"     ({letters}; blank: not run)", "", "".join(numbers)]
    for scenario, row in sorted(cells.items()):
        drawn = (f"{row[stack].outcome.value if stack in row else '':>3}" for stack in stacks)
        lines.append(f"{''.join(drawn)}  {scenario}")
    lines.append("".join(f"{_counted(cells.values(), stack):>3}" for stack in stacks) + "  passed")
    return lines


def results(stacks: Mapping[str, str], cells: Cells) -> dict[str, object]:
    """What to save, as JSON has it: `ci/run compare` reads it (harness.report.compare)."""
    scenarios = {
        scenario: {
            stack: {
                "outcome": cell.outcome.words,
                "line": cell.line,
                "findings": [asdict(finding) for finding in cell.findings],
            }
            for stack, cell in row.items()
        }
        for scenario, row in sorted(cells.items())
    }
    return {"stacks": dict(stacks), "scenarios": scenarios}


def _counted(rows: Iterable[Mapping[str, Cell]], stack: str) -> int:
    return sum(stack in row and row[stack].outcome is Outcome.PASS for row in rows)
