"""What one part of a layer may hold: as the oracle expects it, and as a reader sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_LABEL = re.compile(r"[A-Z][0-9]{0,5}")


class Blank(Enum):
    """A part that carries no label; its value is the character that a table shows."""

    ZERO = "0"  # holds zeros of its own: reads as zeros whatever lies below
    HOLE = "-"  # not allocated: reads from the backing file, or as zeros if there is none
    UNDEFINED = "?"  # expected only: QEMU promises nothing


ZERO = Blank.ZERO
HOLE = Blank.HOLE
UNDEFINED = Blank.UNDEFINED


@dataclass(frozen=True)
class Written:
    """A pattern of this run, at its own place, of layer `label`."""

    label: str


@dataclass(frozen=True)
class Shifted:
    """A pattern of this run that belongs elsewhere: it was written to disk byte `from_offset` (in cell `from_cell`)."""

    label: str
    from_offset: int
    from_cell: int


@dataclass(frozen=True)
class Foreign:
    """Bytes that this run did not write: `what` names the run that did, or shows the first of them."""

    what: str


@dataclass(frozen=True)
class Torn:
    """Bytes of several origins in one unit: `what` says which and where."""

    what: str


@dataclass(frozen=True)
class Perhaps:
    """Expected only: a hole, or a copy of `value`, which is what is read there in either case: a job is copying it."""

    value: str | Blank


Part = str | Blank | Perhaps
"""A part as expected: the label of the write that it holds, a Blank, or Perhaps."""

Seen = str | Blank | Shifted | Foreign | Torn
"""A part as a reader sees it: as Part (never UNDEFINED), or what is wrong with it."""


def check_label(label: str) -> str:
    """Return `label`, or raise ValueError unless it is a capital letter and up to five digits ("D", "D12")."""
    if not _LABEL.fullmatch(label):
        raise ValueError(f"{label!r} is no label: a capital letter, then up to five digits")
    return label


def agrees(expected: Part, seen: Seen, *, holes_read_zero: bool) -> bool:
    """Say whether `seen` is what was expected: the one rule for every comparison.

    UNDEFINED agrees with anything, Perhaps with a hole as well as with its value. `holes_read_zero` is for places where
    a hole and zeros are the same to everyone who reads: what a layer shows, and what a file without a backing file
    contains.
    """
    if expected is UNDEFINED or expected == seen:
        return True
    if isinstance(expected, Perhaps):
        return seen is HOLE or agrees(expected.value, seen, holes_read_zero=holes_read_zero)
    return holes_read_zero and expected in (ZERO, HOLE) and seen in (ZERO, HOLE)


def character(values: tuple[Part | Seen, ...]) -> str:
    """The one character that a table shows for a cell: `!` if a part is what no write left, `~` if its parts differ.

    `%` stands for a hole that a job may have filled by now.
    """
    if any(isinstance(value, Shifted | Foreign | Torn) for value in values):
        return "!"
    first = values[0]
    if any(value != first for value in values):
        return "~"
    if isinstance(first, Perhaps):
        return "%"
    return first.value if isinstance(first, Blank) else str(first)[0]


def in_words(value: Part | Seen) -> str:
    """A part's value for a sentence that begins "the part is ..."."""
    match value:
        case Blank.ZERO:
            return "zero"
        case Blank.HOLE:
            return "a hole"
        case Blank.UNDEFINED:
            return "undefined"
        case Shifted(label, offset, cell):
            return f"layer {label}'s cell {cell} (byte {offset} of the disk): shifted"
        case Foreign(what):
            return f"foreign: {what}"
        case Torn(what):
            return f"torn: {what}"
        case Perhaps(copied):
            return f"a hole or {in_words(copied)}"
        case _:
            return str(value)
