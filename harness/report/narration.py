"""Tells a person what happens while it happens: the journal's entries as text."""

from __future__ import annotations

from collections.abc import Callable

from harness.journal import Entry, Journal, Kind

_INDENT = "    "


class Narrator:
    """A listener of a journal that prints its entries with `say`, one call per paragraph.

    libvirt's own events are left out (the transcript of a failed scenario has them).
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def __call__(self, entry: Entry) -> None:
        """Print one entry."""
        match entry.kind:
            case Kind.STEP:
                self._say(f"\n{entry.text}")
            case Kind.COMMAND:
                self._say(_indented(command_text(entry)))
            case Kind.OUTPUT:
                self._say(_indented(printed_text(entry)))
            case Kind.TABLE:
                title, *table = entry.text.splitlines()
                self._say(f"\n{_INDENT}{title}, as measured ({entry.detail.get('read by', '')}):")
                self._say(_indented("\n".join(table), 2) + "\n")
            case Kind.GUEST:
                self._say(f"{_INDENT}- the guest {entry.text}")
            case Kind.CHECK | Kind.NOTE:
                self._say(f"{_INDENT}- {entry.text}")
            case Kind.ACT | Kind.EVENT:
                pass


def command_text(entry: Entry) -> str:
    """A command as typed, and below it what it printed."""
    return f"$ {entry.text}\n{printed_text(entry)}".rstrip()


def printed_text(entry: Entry) -> str:
    """What a command printed, as a terminal shows it: what was overwritten after a carriage return is gone."""
    printed = str(entry.detail.get("output", "")).rstrip()
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in printed.split("\n"))


def timing(journal: Journal) -> str:
    """The time that a scenario took, and how it is made up: what is neither boot nor verification is the acts."""
    total = journal.elapsed()
    parts = {"boot": journal.seconds.get("boot", 0.0), "verification": journal.seconds.get("verification", 0.0)}
    acts = total - sum(parts.values())
    return f"in {total:.1f} s (boot {parts['boot']:.1f}, acts {acts:.1f}, verification {parts['verification']:.1f})"


def _indented(text: str, levels: int = 1) -> str:
    return "\n".join(_INDENT * levels + line if line else "" for line in text.splitlines())
