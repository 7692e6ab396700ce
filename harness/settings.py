"""What a run is to do, and where it may write."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Mode = Literal["system", "session"]
"""libvirt's."""
Wanted = Literal["auto", "kvm", "tcg"]
"""What guests are to run on."""


@dataclass(frozen=True)
class Cache:
    """Where what is built once is kept, below `root`; the one place that knows what lies where."""

    root: Path

    @property
    def images(self) -> Path:
        """Built guests."""
        return self.root / "images"

    @property
    def warm(self) -> Path:
        """Guests that were booted and saved."""
        return self.root / "warm"

    @property
    def trees(self) -> Path:
        """File system trees of other releases."""
        return self.root / "trees"

    @property
    def appliances(self) -> Path:
        """libguestfs's appliances."""
        return self.root / "guestfs"

    @property
    def preloads(self) -> Path:
        """Shared objects that are loaded before others."""
        return self.root / "preload"

    @property
    def mutants(self) -> Path:
        """A copy of the checkout with its mutants."""
        return self.root / "mutants"

    @property
    def verdicts(self) -> Path:
        """Whether KVM works, for this boot of the machine."""
        return self.root


@dataclass(frozen=True)
class Settings:
    """The options of a run.

    `work` holds run directories (gone when their run ends), `cache` what is built once, `evidence` what failed
    scenarios leave. `deadline_factor` stretches every deadline besides what the acceleration needs.
    `guest` says whether guests are restored from a saved one, or booted. `power_loss`: all is recorded, and the power
    is lost at every write. `monitored`: daemons log what they say to QEMU.
    """

    accel: Wanted
    mode: Mode
    work: Path
    cache: Cache
    evidence: Path
    deadline_factor: float
    guest: Literal["warm", "cold"]
    power_loss: bool = False
    monitored: bool = False


def default_mode() -> Mode:
    """libvirt's own choice, the system daemon for root and the session daemon for anybody else, where that can be."""
    return "session" if no_system_mode() else "system"


def no_system_mode() -> str:
    """Why libvirt's system mode is impossible for us; empty if it is possible."""
    if os.getuid() != 0:
        return "only root can run it"
    try:
        allowed = Path("/proc/self/setgroups").read_text().strip() == "allow"
    except OSError:  # no user namespaces in this kernel, or no /proc
        allowed = True
    return "" if allowed else "this user namespace forbids supplementary groups, which libvirt sets"


def default_work() -> Path:
    """A short path on a disk: sockets have short names only, and /tmp may be memory."""
    return Path(f"/var/tmp/chainproof-{os.getuid()}")


def default_cache() -> Cache:
    """CHAINPROOF_CACHE, else the user's cache directory."""
    named = os.environ.get("CHAINPROOF_CACHE")
    if named:
        return Cache(Path(named))
    return Cache(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chainproof")
