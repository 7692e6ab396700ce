"""Versions of programs and of the packages that they came in, and which of two is the newer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest


@dataclass(frozen=True)
class Version:
    """What one component of a stack is: `upstream` as the program says, `package` where a package brought it.

    `upstream` is "7.2.22" or "unknown"; `package` is the distribution's own version, or empty for a candidate build.
    """

    upstream: str
    package: str = ""

    def __str__(self) -> str:
        return f"{self.upstream} ({self.package})" if self.package else self.upstream

    def is_at_least(self, since: str) -> bool:
        """True from upstream version `since` on; False if it is not known."""
        return self.upstream[:1].isdigit() and compare(self.upstream, since) >= 0


def compare(first: str, second: str) -> int:
    """-1, 0 or 1 as `first` is older than, the same as or newer than `second`, by Debian's rules (deb-version(7))."""
    for one, other in zip(_parts(first), _parts(second), strict=True):
        order = _compare_part(one, other)
        if order:
            return order
    return 0


def _parts(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "0")


def _compare_part(first: str, second: str) -> int:
    """Texts and numbers by turns; in a text `~` comes before the end, letters before all else."""
    pairs = zip_longest(re.findall(r"(\D*)(\d*)", first), re.findall(r"(\D*)(\d*)", second), fillvalue=("", ""))
    for (text, number), (other_text, other_number) in pairs:
        for a, b in zip_longest(text, other_text, fillvalue=""):
            if a != b:
                return -1 if _rank(a) < _rank(b) else 1
        difference = int(number or 0) - int(other_number or 0)
        if difference:
            return -1 if difference < 0 else 1
    return 0


def _rank(character: str) -> int:
    if character == "~":
        return -1
    if not character:
        return 0
    return ord(character) if character.isalpha() else ord(character) + 256
