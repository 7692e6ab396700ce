"""What a release can do: one table of capabilities, with the version since when and where that is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.errors import ChainproofError
from harness.stack.stack import Stack

Component = Literal["libvirt", "QEMU"]


@dataclass(frozen=True)
class Offer:
    """A capability: `component` has it since upstream version `since`; `source` is where that is from."""

    name: str
    component: Component
    since: str
    source: str

    def is_in(self, stack: Stack) -> bool:
        """True if the stack has it."""
        version = stack.libvirt_version if self.component == "libvirt" else stack.qemu_version
        return version.is_at_least(self.since)


_NEWS = "libvirt's NEWS"
OFFERS = {
    offer.name: offer
    for offer in (
        Offer("backup", "libvirt", "7.2.0", "7.0.0 says: incremental backup is not supported yet"),
        Offer("synchronous-writes", "libvirt", "8.0.0", "libvirt-domain.h: VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES"),
        Offer("external-snapshot-delete", "libvirt", "9.0.0", f"{_NEWS}, 9.0.0"),
        Offer("external-snapshot-revert", "libvirt", "9.9.0", f"{_NEWS}, 9.9.0"),
    )
}


class NotOffered(ChainproofError):
    """A scenario needs what this release does not offer: neither a finding nor a shortcoming of the machine."""


def require(stack: Stack, *names: str) -> None:
    """Raise NotOffered for the first capability that the stack lacks; ValueError for one that is in no table."""
    for name in names:
        if name not in OFFERS:
            raise ValueError(f"no capability is called {name}; there are {', '.join(OFFERS)}")
        offer = OFFERS[name]
        if not offer.is_in(stack):
            version = stack.libvirt_version if offer.component == "libvirt" else stack.qemu_version
            since = f"{offer.component} has it since {offer.since} ({offer.source})"
            raise NotOffered(f"not offered by this release, {offer.component} {version}: {name}; {since}")
