"""What was found wrong, as data: it travels as JSON, and is printed for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from harness.errors import CheckFailed

FINDINGS = "findings"
"""The name under which a report's properties have findings, as JSON."""

_IN_WORDS = (" contains: ", " shows: ", " != ")
"""What a line of a difference has that tells it in words: a table's, pytest's."""


@dataclass(frozen=True)
class Finding:
    """One claim that does not hold. `check` names the check, or the kind of error where none was made.

    `subject` is the VM, disk, image or daemon that it is about; `difference` says in what what was `seen` differs.
    """

    check: str
    subject: str
    claim: str
    seen: str
    difference: str = ""

    def __post_init__(self) -> None:
        """Raise TypeError for what is no text: a finding that does not say what was claimed helps nobody."""
        if not all(isinstance(text, str) for text in (self.claim, self.seen, self.difference)):
            raise TypeError(f"a finding is told in words, not in {self.claim!r}, {self.seen!r}, {self.difference!r}")

    def __str__(self) -> str:
        lines = [f"{self.check}{f' of {self.subject}' if self.subject else ''}:"]
        if self.claim:
            lines.append(f"claimed:  {self.claim}")
        lines.append(f"seen:     {self.seen}")
        return "\n".join([*lines, *([self.difference] if self.difference else [])])

    def line(self) -> str:
        """The finding in one line: the claim, what was seen, and the first of the words that say what differs."""
        head = self.seen.splitlines()[0] if self.seen else ""
        differs = [line.strip() for line in self.difference.splitlines()]
        words = [line for line in differs if any(sign in line for sign in _IN_WORDS)] or (differs if self.claim else [])
        summary = "; ".join([head, *words[:1]])
        name = f"{self.check}: " if self.check else ""
        return f"{name}{self.claim} - but: {summary}" if self.claim else f"{name}{summary}"


class ChecksFailed(CheckFailed):
    """Several claims do not hold; `findings` has each."""

    def __init__(self, claim: str, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(claim, f"{len(findings)} of them fail", "\n".join(map(str, findings)))


def findings_of(error: BaseException) -> tuple[Finding, ...]:
    """What an error of a scenario has found: of one that is no failed check, its kind and its words."""
    if isinstance(error, ChecksFailed):
        return error.findings
    if isinstance(error, CheckFailed):
        return (Finding("", "", error.claim, error.seen, error.difference),)
    first, _, rest = str(error).partition("\n")
    return (Finding(type(error).__name__, "", "", first, rest),)


def as_json(findings: Sequence[Finding]) -> str:
    """Findings as JSON text; `read` is the reverse."""
    return json.dumps([asdict(finding) for finding in findings])


def read(text: str) -> tuple[Finding, ...]:
    """The findings in JSON text. Raises ValueError if there are none in it."""
    try:
        return tuple(Finding(**finding) for finding in json.loads(text))
    except TypeError as error:
        raise ValueError(f"these are no findings: {error}") from error
