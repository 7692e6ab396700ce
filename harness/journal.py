"""Every act once: entered before it is done, completed after it, with seconds and outcome."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    ACT = "act"  # something done to the VM, its disks or the daemon
    GUEST = "guest"  # something done by the guest
    EVENT = "event"  # libvirt sent an event
    TABLE = "table"  # content as measured
    CHECK = "check"  # a claim that was held against what is
    NOTE = "note"


UNDER_WAY = "under way"
DONE = "done"


@dataclass
class Entry:
    """One thing that happened: `at` is in seconds since the journal began, `seconds` how long it took.

    `act` is the act as data (harness.acts.act), if it is one; `by` names the hand that performed it; `uses` is what it
    takes of libvirt's API (harness.acts.calls.features). `outcome` is UNDER_WAY until it has ended, then DONE or what
    went wrong.
    """

    at: float
    kind: Kind
    text: str
    detail: Detail = field(default_factory=dict)
    act: Mapping[str, object] = field(default_factory=dict)
    by: str = ""
    uses: Sequence[str] = ()
    seconds: float = 0.0
    outcome: str = DONE


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
        """Enter what happened just now, and pass it to the listeners."""
        return self.complete(self.begin(kind, text, detail=detail))

    def begin(
        self,
        kind: Kind,
        text: str,
        *,
        act: Mapping[str, object] | None = None,
        by: str = "",
        uses: Sequence[str] = (),
        detail: Detail | None = None,
    ) -> Entry:
        """Enter what is about to be done."""
        entry = Entry(now() - self._began, kind, text, dict(detail or {}), dict(act or {}), by, uses, outcome=UNDER_WAY)
        self.entries.append(entry)
        return entry

    def complete(self, entry: Entry, outcome: str = DONE, detail: Detail | None = None) -> Entry:
        """Say how it ended, and pass the entry to the listeners."""
        entry.outcome = outcome
        entry.seconds = now() - self._began - entry.at
        entry.detail = {**entry.detail, **(detail or {})}
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
            if entry.outcome != DONE:
                lines.append(f"{'':19}{entry.outcome}")
            for name, value in entry.detail.items():
                text = str(value).rstrip("\n")
                if "\n" in text or name == "output":
                    lines += [f"{'':19}| {line}" for line in text.splitlines()]
                else:
                    lines.append(f"{'':19}{name}: {text}")
        return "\n".join(lines) + "\n"
