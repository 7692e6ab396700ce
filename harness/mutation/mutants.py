"""What became of mutants: killed, alive, or alive since they are equivalent, which a list says with a reason."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

EQUIVALENT = Path(__file__).resolve().with_name("equivalent.toml")
_KILLED, _ALIVE, _UNTESTED, _TIMEOUT = (1, 3), (0,), (5, 33), (24, 36, 152, 255, -24)  # mutmut's, of each mutant
_STRING = re.compile(r"""["'][^"']*["']""")
_NUMBER = re.compile(r"__mutmut_\d+$")


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SLOW = "killed by the time that it took"
    EQUIVALENT = "equivalent"
    WORDS = "alive, with a message worded otherwise"
    ALIVE = "alive"
    UNTESTED = "in a function that no test calls"
    UNKNOWN = "not run, or the tool has failed"


@dataclass(frozen=True)
class Change:
    """What a mutant changes: a function by the tool's name, the lines that were there, and those in their place."""

    function: str
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.function}\n  - {self.was}\n  + {self.becomes}"


def is_worded_otherwise(what: Change) -> bool:
    """Whether it differs only in strings that the tool has put into capitals or between two XX, and that are words.

    A string without a blank may be a key, a name or a value: what is done depends on it.
    """
    alike = what.was.casefold() == what.becomes.casefold() or what.becomes.replace("XX", "") == what.was
    was, becomes = (_STRING.findall(line) for line in (what.was, what.becomes))
    if not alike or len(was) != len(becomes):
        return False
    return all(" " in one for one, other in zip(was, becomes, strict=True) if one != other)


def alive(what: Change) -> Fate:
    """The fate of a mutant that all tests have passed with."""
    return Fate.WORDS if is_worded_otherwise(what) else Fate.ALIVE


def equivalents(file: Path = EQUIVALENT) -> dict[Change, str]:
    """The mutants that no test can kill, each with the reason."""
    listed = tomllib.loads(file.read_text())["mutant"]
    return {Change(each["function"], each["was"], each["becomes"]): str(each["because"]) for each in listed}


def codes(tree: Path) -> dict[str, int | None]:
    """The exit status of the tests for each mutant of a tree, by the tool's name; None of one that was not run."""
    metas = sorted((tree / "mutants").rglob("*.py.meta"))
    return {name: code for meta in metas for name, code in json.loads(meta.read_text())["exit_code_by_key"].items()}


def change(name: str, shown: str) -> Change:
    """What a mutant changes, from what the tool shows of it: a unified diff."""
    lines = [line for line in shown.splitlines() if not line.startswith(("---", "+++", "#"))]
    was, becomes = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Change(_NUMBER.sub("", name), was, becomes)


def fates(tree: Path, show: Callable[[str], str]) -> Iterator[tuple[str, Fate, Change | None]]:
    """Each mutant, what became of it, and if it lives what it changes; `show` gives the tool's diff of one."""
    known = equivalents()
    for name, code in codes(tree).items():
        if code in _KILLED or code in _TIMEOUT:
            yield name, Fate.KILLED if code in _KILLED else Fate.SLOW, None
            continue
        if code in _ALIVE:  # the tool takes a second to show one
            what = change(name, show(name))
            yield name, Fate.EQUIVALENT if what in known else alive(what), what
        else:
            where = Change(_NUMBER.sub("", name), "", "")
            yield name, Fate.UNTESTED if code in _UNTESTED else Fate.UNKNOWN, where


def summary(found: Sequence[tuple[str, Fate, Change | None]]) -> list[str]:
    """The living in full, then how many there are of each fate."""
    lines = [f"ALIVE: {what}" for _, fate, what in found if fate is Fate.ALIVE]
    untested = Counter(what.function for _, fate, what in found if fate is Fate.UNTESTED and what is not None)
    lines += [f"{count} mutants of {function}: no test calls it" for function, count in sorted(untested.items())]
    counts = Counter(fate for _, fate, _ in found)
    told = ", ".join(f"{counts[fate]} {fate}" for fate in Fate if counts[fate])
    return [*lines, f"{len(found)} mutants: {told}"]
