"""What a run was asked for, and where it may write."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the doctor reads this module on machines that lack what these import
    from harness.stack.acceleration import Wanted
    from harness.stack.configuration import Mode


@dataclass(frozen=True)
class Settings:
    """The options of a run.

    `work` holds run directories (gone when their run ends), `cache` what is built once, `evidence` what failed
    scenarios leave. `deadline_factor` stretches every deadline besides what the acceleration asks for.
    `guest` says whether guests are restored from a saved one, or booted.
    """

    accel: Wanted
    mode: Mode
    work: Path
    cache: Path
    evidence: Path
    deadline_factor: float
    guest: Literal["warm", "cold"]

    @property
    def images(self) -> Path:
        """Where built guests are kept."""
        return self.cache / "images"


def default_mode() -> Mode:
    """libvirt's own choice: the system daemon for root, the session daemon for anybody else."""
    return "system" if os.getuid() == 0 else "session"


def default_work() -> Path:
    """A short path on a disk: sockets have short names only, and /tmp may be memory."""
    return Path(f"/var/tmp/chainproof-{os.getuid()}")


def default_cache() -> Path:
    """CHAINPROOF_CACHE, else the user's cache directory."""
    named = os.environ.get("CHAINPROOF_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chainproof"
