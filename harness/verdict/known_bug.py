"""A known bug of a release: which scenarios meet it, how it shows, which versions have it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.stack.stack import Stack
from harness.stack.version import Version, compare
from harness.verdict.finding import Finding

Component = Literal["libvirt", "QEMU"]


ROUNDS = 5


@dataclass(frozen=True)
class KnownBug:
    """A bug that scenarios meet: those whose id `scenario` matches (regex) fail with findings that it `explains`.

    `check` matches (regex) the name of the check that finds it, the kind of error where the scenario broke off with
    one, "" for what the scenario itself claims; `shows` matches (regex) the finding's claim, what was seen and the
    difference, in lines.
    `url` is empty where no upstream reference was found.
    Affected is every upstream version from `since` up to, but not with, `fixed` (None: not fixed yet), but for
    packages into which a distribution took the fix: `fixed_packages` are (from, up to but not with) package versions.
    `since`: the first bad version upstream names, else the oldest we measured as bad. `fixed`: likewise for good.
    Versions outside are not expected to fail.
    A program that the harness itself has made (harness.explore) meets it if `acts` matches (regex) what was done of it,
    a line for each act; acts of the kind `left_out`, or worlds whose driver has that, are not explored on what it
    affects: each would take minutes, or be red. A bug that shows only `sometimes` makes no unexpected pass: the
    scenarios that this names (regex) are run until it shows, ROUNDS times at most.
    """

    scenario: str
    check: str
    shows: str
    component: Component
    since: str
    fixed: str | None
    url: str
    sentence: str
    measured: str
    fixed_packages: tuple[tuple[str, str], ...] = ()
    sometimes: str = ""
    acts: str = ""
    left_out: str = ""

    def explains(self, finding: Finding) -> bool:
        """True if this is how the bug shows."""
        words = "\n".join((finding.claim, finding.seen, finding.difference))
        return re.fullmatch(self.check, finding.check) is not None and re.search(self.shows, words) is not None

    def affects(self, stack: Stack) -> bool:
        """True if this stack has the bug."""
        version: Version = stack.libvirt_version if self.component == "libvirt" else stack.qemu_version
        if not version.is_at_least(self.since) or (self.fixed is not None and version.is_at_least(self.fixed)):
            return False
        package = version.package
        return not any(
            package and compare(package, first) >= 0 and compare(package, end) < 0 for first, end in self.fixed_packages
        )


def explanation(findings: Sequence[Finding], bugs: Iterable[KnownBug]) -> tuple[KnownBug, ...] | None:
    """The bugs that explain findings, the first one's first; None unless each finding is explained by one."""
    known = list(bugs)
    explaining = [next((bug for bug in known if bug.explains(finding)), None) for finding in findings]
    return None if None in explaining else tuple(dict.fromkeys(bug for bug in explaining if bug))
