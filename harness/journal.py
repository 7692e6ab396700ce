"""Every act recorded once, as it happens: transcript, evidence and narration are all made from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from harness.waiting import now

Detail = Mapping[str, str | int | float | bool]


class Kind(StrEnum):
    """What an entry tells of."""

    STEP = "step"  # a numbered step of a documented procedure
    COMMAND = "command"  # a command line as typed, with what it printed
    OUTPUT = "output"  # what a command printed that was held at its start
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
    """The one list of what happened in a scenario, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.listeners: list[Callable[[Entry], None]] = []
        self.seconds: dict[str, float] = {}
        self._began = now()

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time that the body takes to `seconds[phase]`."""
        began = now()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + now() - began

    def elapsed(self) -> float:
        """Seconds since the journal began."""
        return now() - self._began

    def record(self, kind: Kind, text: str, detail: Detail | None = None) -> Entry:
        """Enter what happened just now, and tell the listeners."""
        entry = Entry(now() - self._began, kind, text, dict(detail or {}))
        self.entries.append(entry)
        for listener in self.listeners:
            listener(entry)
        return entry

    def as_json_lines(self) -> str:
        """The journal for programs: an object per line, with the fields of Entry."""
        return "".join(json.dumps(asdict(entry)) + "\n" for entry in self.entries)

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
