"""Known bugs of releases: one table; a scenario that meets one is expected to fail, on affected versions only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from harness.stack.stack import Stack
from harness.stack.version import Version, compare

Component = Literal["libvirt", "QEMU"]


@dataclass(frozen=True)
class KnownBug:
    """A bug that scenarios meet: those whose id `scenario` matches fail with words that `shows` matches (both regex).

    A failure that says anything else is none of it. `url` is empty where no upstream reference was found.
    Affected is every upstream version from `since` up to, but not with, `fixed` (None: not fixed yet), but for
    packages into which a distribution took the fix: `fixed_packages` are (from, up to but not with) package versions.
    A bug that shows only `sometimes` makes no unexpected pass.
    """

    scenario: str
    shows: str
    component: Component
    since: str
    fixed: str | None
    url: str
    sentence: str
    fixed_packages: tuple[tuple[str, str], ...] = ()
    sometimes: bool = False

    def affects(self, stack: Stack) -> bool:
        """True if this stack has the bug."""
        version: Version = stack.libvirt_version if self.component == "libvirt" else stack.qemu_version
        if not version.is_at_least(self.since) or (self.fixed is not None and version.is_at_least(self.fixed)):
            return False
        package = version.package
        return not any(
            package and compare(package, first) >= 0 and compare(package, end) < 0 for first, end in self.fixed_packages
        )


_NEWS = "https://libvirt.org/news.html#v7-3-0-2021-05-03"
KNOWN_BUGS: tuple[KnownBug, ...] = (
    KnownBug(
        scenario=r"test_abort_after_ready_leaves_the_chain",
        shows=r"the disk's content at aborted is as the oracle says\n(.*\n)*base +expected",
        component="libvirt",
        since="5.10.0",  # from when it drives jobs by -blockdev; 7.0.0 measured
        fixed="7.3.0",
        url=_NEWS,
        sentence="An aborted active commit leaves out what the guest wrote just before: it is cancelled by force.",
        sometimes=True,  # QEMU may have copied it by then
    ),
    KnownBug(
        scenario=r"^scenarios/",
        shows=r"1 of them fail\nevents in order:\nclaimed:  one READY at most",
        component="libvirt",
        since="5.10.0",
        fixed="7.3.0",
        url=_NEWS,
        sentence="A second READY is passed on, and may be taken for an abort.",
        sometimes=True,
    ),
    KnownBug(
        scenario=r"test_a_guest_that_rebooted",
        shows=r"waited \d+ s for the guest agent to connect",
        component="QEMU",
        since="5.0.0",  # 5.2 measured, 7.2 is well: no reference found
        fixed="7.2.0",
        url="",
        sentence="After a reset the processor of a q35 machine (not of a pc) stays at F000:FFF0 under TCG.",
        sometimes=True,  # not with KVM
    ),
)


def known_bugs(scenario: str, stack: Stack, table: Iterable[KnownBug] = KNOWN_BUGS) -> list[KnownBug]:
    """The bugs that the scenario of this id meets on this stack, or on the newer one that it is upgraded to."""
    stacks = [stack, *([stack.newer] if stack.newer else [])]
    return [bug for bug in table if re.search(bug.scenario, scenario) and any(map(bug.affects, stacks))]
