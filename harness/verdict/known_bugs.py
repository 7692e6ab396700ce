"""Known bugs of releases: one table; a scenario that meets one is expected to fail, on affected versions only."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.stack.stack import Stack
from harness.verdict import bugs_of_libvirt, bugs_of_qemu
from harness.verdict.known_bug import KnownBug

KNOWN_BUGS: tuple[KnownBug, ...] = (*bugs_of_libvirt.BUGS, *bugs_of_qemu.BUGS)


def repeated_for(scenario: str, bugs: Iterable[KnownBug] = KNOWN_BUGS) -> list[KnownBug]:
    """Those of the bugs for which the scenario of this id is repeated, on a stack that has them."""
    return [bug for bug in bugs if bug.sometimes and re.search(bug.sometimes, scenario)]


def known_bugs(scenario: str, stack: Stack, table: Iterable[KnownBug] = KNOWN_BUGS) -> list[KnownBug]:
    """The bugs that the scenario of this id meets on this stack, or on the newer one that it is upgraded to."""
    stacks = [stack, *([stack.newer] if stack.newer else [])]
    return [bug for bug in table if re.search(bug.scenario, scenario) and any(map(bug.affects, stacks))]
