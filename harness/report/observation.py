"""What a failure saw first, in one line: for a list of many failures, where a traceback has no room."""

from __future__ import annotations

import re

_CLAIMED, _SEEN = "claimed:  ", "seen:     "  # as CheckFailed prints them
_ALL_CHECKS = re.compile(rf"{_CLAIMED}all \d+ universal checks")
_MODULE = re.compile(r"^(?:\w+\.)+(?=[A-Z]\w*: )")
_IN_WORDS = re.compile(r"\S+ (contains|shows): ")  # below the drawn table of a difference


def first_observation(text: str) -> str:
    """The line for a failure as pytest prints it: the first claim that does not hold, what was seen, what differs."""
    lines = [line.removeprefix("E").strip() for line in text.splitlines() if re.match(r"E( |$)", line)]
    lines = [line for line in lines if line]
    if not lines:  # what is no traceback; xdist puts a line of its own before it
        return next((line for line in text.strip().splitlines() if not re.match(r"\[gw\d+\] ", line)), "")
    claims = [number for number, line in enumerate(lines) if _CLAIMED in line]
    if not claims:
        whole = [line for line in lines[1:] if " != " in line]  # pytest shortens both sides in its first line
        return _MODULE.sub("", "; ".join([lines[0], *whole[:1]]))
    if not _ALL_CHECKS.search(lines[claims[0]]):
        return _claim(lines[claims[0] :])
    first = claims[1]  # each check that fails is told below its name
    end = claims[2] - 1 if len(claims) > 2 else len(lines)
    return f"{lines[first - 1]} {_claim(lines[first:end])}"


def _claim(lines: list[str]) -> str:
    """A CheckFailed's claim, what was seen, and in what it differs, if that is told."""
    claim, seen, *differs = lines
    words = [line for line in differs if _IN_WORDS.match(line)] or differs
    return f"{claim.partition(_CLAIMED)[2]} - but: {'; '.join([seen.removeprefix(_SEEN), *words[:1]])}"
