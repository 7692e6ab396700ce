"""What a release can do: one table of capabilities, with the version since when and where that is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.errors import ChainproofError
from harness.stack.stack import Stack
from harness.stack.version import compare

Component = Literal["libvirt", "QEMU"]


@dataclass(frozen=True)
class Offer:
    """A capability: `component` has it since upstream version `since`; `source` is where that is from.

    Where a newer QEMU needs a newer libvirt for it, `newer_needs` are the two versions: (QEMU from, libvirt from).
    """

    name: str
    component: Component
    since: str
    source: str
    newer_needs: tuple[str, str] | None = None

    def __str__(self) -> str:
        newer = "with QEMU from {} on since {}".format(*self.newer_needs) if self.newer_needs else f"since {self.since}"
        return f"{self.component} has it {newer} ({self.source})"

    def is_in(self, stack: Stack) -> bool:
        """True if the stack has it."""
        version = stack.libvirt_version if self.component == "libvirt" else stack.qemu_version
        if self.newer_needs is not None and stack.qemu_version.is_at_least(self.newer_needs[0]):
            return stack.libvirt_version.is_at_least(self.newer_needs[1])
        return version.is_at_least(self.since)


_NEWS = "libvirt's NEWS"
OFFERS = {
    offer.name: offer
    for offer in (
        Offer("backup", "libvirt", "7.2.0", "7.0.0 says: incremental backup is not supported yet"),
        Offer("synchronous-writes", "libvirt", "8.0.0", "libvirt-domain.h: VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES"),
        Offer(
            "inherited-subclusters", "libvirt", "8.0.0", "formatstorage: extended_l2; measured on 9.0.0, not on 7.0.0"
        ),
        Offer("zstd", "QEMU", "7.2.0", "5.1 has it; Debian's 5.2 is built without, and between them nobody looked"),
        Offer(
            "copy-on-read-filter",
            "QEMU",
            "7.2.0",
            "during a pull 5.2 copies whatever anybody reads, and where there is nothing it writes zeros; between them "
            "nobody looked",
        ),
        Offer(
            "reset-of-a-generic-guest",
            "QEMU",
            "7.2.0",
            "with 5.2 the generic kernel does not boot again after a reset, in 120 s; between them nobody looked",
        ),
        Offer("vhost-user-disk", "libvirt", "7.1.0", f"{_NEWS}, 7.1.0: vhostuser block devices"),
        Offer("manual-snapshot", "libvirt", "8.2.0", "formatsnapshot: snapshot='manual'"),
        Offer("tls-on-a-socket", "QEMU", "7.0.0", "ChangeLog/7.0: NBD: TLS on unix sockets"),
        Offer("external-snapshot-delete", "libvirt", "9.0.0", f"{_NEWS}, 9.0.0"),
        Offer("external-snapshot-revert", "libvirt", "9.9.0", f"{_NEWS}, 9.9.0"),
        Offer(
            "internal-revert-below",
            "libvirt",
            "9.0.0",
            "7.0.0 looks for the snapshot in the present active image, and leaves the VM paused; between them nobody "
            "looked",
        ),
        Offer(
            "deletion-aside",
            "libvirt",
            "11.3.0",
            "9.0.0 deletes no external snapshot that the disk does not go on in; between them it removed the image "
            "below in place of the overlay: https://gitlab.com/libvirt/libvirt/-/issues/734",
        ),
        Offer(
            "hotplug",
            "QEMU",
            "6.1.0",
            "ChangeLog/6.1: q35 plugs by ACPI; with 5.2's way, PCI Express alone, one in seven guests never sees it",
        ),
        # trixie-backports has libvirt 11.3.0 with QEMU 11.1.3: no saved VM can be restored there; 12.8.0 can, and
        # what lies between was not tried
        Offer(
            "restore",
            "libvirt",
            "0.1",
            "QEMU 11.0 says: fd: migration to a file is not supported",
            newer_needs=("11.0.0", "12.8.0"),
        ),
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
            raise NotOffered(f"{name} is not offered by {stack}: {offer}")


def require_programs(stack: Stack, *names: str) -> None:
    """Raise NotOffered for the first program of others that is not installed where the stack's own are."""
    for name in names:
        if not (stack.tree / "usr/bin" / name).exists():
            raise NotOffered(f"{name} is not installed in {stack.tree}: it is no part of libvirt and QEMU")


# (libvirt from, the oldest QEMU that it drives): libvirt's NEWS
_LEAST_QEMU = (("12.4.0", "7.2.0"), ("11.2.0", "6.2.0"))


def require_upgrade(stack: Stack) -> None:
    """Raise NotOffered unless what the stack is to be upgraded to, if to anything, is newer and drives its QEMU.

    A libvirt is made to read what older ones keep of running VMs, not what newer ones do. A candidate build may have
    the version of what it replaces.
    """
    if stack.newer is None:
        return
    old, new = stack.libvirt_version, stack.newer.libvirt_version
    if old.package and old.package == new.package:
        raise NotOffered(f"no upgrade: both are libvirt {old}")
    packaged = old.package and new.package
    if (compare(new.package, old.package) if packaged else compare(new.upstream, old.upstream)) < 0:
        raise NotOffered(f"no upgrade: libvirt {new} is older than {old}")
    least = next((least for since, least in _LEAST_QEMU if new.is_at_least(since)), "0")
    if compare(stack.qemu_version.upstream, least) < 0:
        raise NotOffered(f"libvirt {new} drives QEMU from {least} on, not {stack.qemu_version} ({_NEWS})")
