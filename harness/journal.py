"""Every act recorded once, as it happens: transcript, evidence and narration are all made from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from harness.waiting import now

Detail = Mapping[str, str | int | float | bool]


class Kind(StrEnum):
    """What an entry tells of."""

    STEP = "step"  # a numbered step of a documented procedure
    COMMAND = "command"  # a command line as typed, with what it printed
    ACT = "act"  # a call of libvirt's API
    GUEST = "guest"  # something done inside the guest
    EVENT = "event"  # libvirt said something by itself
    TABLE = "table"  # content as measured
    CHECK = "check"  # a claim that was held against what is
    NOTE = "note"


@dataclass(frozen=True)
class Entry:
    """One thing that happened: `at` is in seconds since the journal began."""

    at: float
    kind: Kind
    text: str
    detail: Detail = field(default_factory=dict)


class Journal:
    """The one list of what happened in a scenario, in order.

    With `file`, each entry is also appended to it at once as a line of JSON, so that a killed run keeps what it had.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.entries: list[Entry] = []
        self.listeners: list[Callable[[Entry], None]] = []
        self.file = file
        self._began = now()

    def record(self, kind: Kind, text: str, detail: Detail | None = None) -> Entry:
        """Enter what happened just now, and tell the listeners."""
        entry = Entry(now() - self._began, kind, text, dict(detail or {}))
        self.entries.append(entry)
        if self.file is not None:
            with self.file.open("a") as out:
                out.write(json.dumps(asdict(entry)) + "\n")
        for listener in self.listeners:
            listener(entry)
        return entry

    def transcript(self) -> str:
        """The journal as a person reads it: a line per entry with its time, what was printed indented below it."""
        lines: list[str] = []
        for entry in self.entries:
            mark = "$ " if entry.kind is Kind.COMMAND else ""
            head, *rest = entry.text.splitlines() or [""]
            lines.append(f"{entry.at:9.3f}  {entry.kind.value:8}{mark}{head}")
            lines += [f"{'':19}{line}" for line in rest]
            for name, value in entry.detail.items():
                text = str(value).rstrip("\n")
                if "\n" in text or name == "output":
                    lines += [f"{'':19}| {line}" for line in text.splitlines()]
                else:
                    lines.append(f"{'':19}{name}: {text}")
        return "\n".join(lines) + "\n"
