"""What differs between releases, as scenarios/findings/README.md has it; run as a module, it writes that file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.stack.offers import OFFERS
from harness.verdict.known_bug import KnownBug
from harness.verdict.known_bugs import KNOWN_BUGS

DOCUMENT = Path(__file__).resolve().parents[2] / "scenarios/findings/README.md"
_HEAD = """\
# What differs between releases

Found by the scenarios on the way, and kept in two tables: `harness/verdict/known_bugs.py`, whose bugs a scenario must
show on a release that has them, and `harness/stack/offers.py`, what a release can do at all. This file is written from
them by `.venv/bin/python -m harness.report.differences`. What libvirt 7.0 says in other words when it refuses something
is in `scenarios/refused/test_refused.py`.

"Since" is the oldest version that was measured as bad, or that upstream names; "fixed" likewise the first good one. A
text ready to be filed, with the shortest reproducer, lies beside this file where there is one.
"""


def document() -> str:
    """The text of the file."""
    return "\n".join([_HEAD, *_bugs("libvirt"), *_bugs("QEMU"), *_offers()]) + "\n"


def _bugs(component: str) -> Iterator[str]:
    yield f"## Bugs of {component}\n"
    yield "| since | fixed | what happens | seen by | where it is written |"
    yield "|---|---|---|---|---|"
    for bug in KNOWN_BUGS:
        if bug.component == component:
            yield f"| {bug.since} | {bug.fixed or 'not yet'} | {bug.sentence} | {_check(bug)} | {_written(bug)} |"
    yield ""


def _check(bug: KnownBug) -> str:
    names = [name or "the scenario's own claim" for name in bug.check.split("|")]
    return ", ".join(names)


def _written(bug: KnownBug) -> str:
    _, found, rest = bug.measured.partition("scenarios/findings/")
    if found:
        name = rest.split()[0].rstrip(";,")
        return f"[{name}]({name})"
    return bug.url or "no reference found"


def _offers() -> Iterator[str]:
    yield "## What a release can do at all\n"
    yield "| capability | what has it |"
    yield "|---|---|"
    yield from (f"| {offer.name} | {offer} |" for offer in OFFERS.values())


if __name__ == "__main__":
    DOCUMENT.write_text(document())
