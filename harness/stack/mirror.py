"""The Debian mirror that this machine is configured for: chainproof names none itself."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ChainproofError, Unusable
from harness.process import run

_TARGETS = "$(CREATED_BY) $(LABEL) $(REPO_URI)"
SNAPSHOT_ID = "@SNAPSHOTID@"
_FETCH = "/usr/lib/apt/apt-helper"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Mirror:
    """Base URIs of Debian's archive and of its security archive, which may be missing."""

    main: str
    security: str = ""

    def source(self, suite: str) -> str:
        """The line of a sources.list that names `suite`."""
        base = self.security if suite.endswith("-security") else self.main
        return f"deb [signed-by={_KEYRING}] {base} {suite} main"

    def at(self, snapshot: str, suite: str, scratch: Path) -> Mirror:
        """The archives as they were at `snapshot` (20260131T000000Z), for a suite of theirs.

        Where they are is in CHAINPROOF_DEBIAN_SNAPSHOTS, or in the `Snapshots` field of a Release file, as apt has it.
        Raises Unusable for a mirror that names none; `scratch` is a directory to fetch into.
        """
        main = os.environ.get("CHAINPROOF_DEBIAN_SNAPSHOTS") or _snapshots(f"{self.main}/dists/{suite}", scratch)
        if SNAPSHOT_ID not in main:
            remedy = f"set CHAINPROOF_DEBIAN_SNAPSHOTS to the base URI of an archive of them, with {SNAPSHOT_ID} in it"
            raise Unusable("the mirror names no archive of snapshots", remedy)
        security = os.environ.get("CHAINPROOF_DEBIAN_SECURITY_SNAPSHOTS", "")
        return Mirror(*(archive.replace(SNAPSHOT_ID, snapshot) for archive in (main, security)))


def configured_mirror() -> Mirror:
    """What apt's sources name, in whichever of their forms, or CHAINPROOF_DEBIAN_MIRROR. Raises Unusable for none."""
    named = os.environ.get("CHAINPROOF_DEBIAN_MIRROR")
    if named:
        return Mirror(named, os.environ.get("CHAINPROOF_DEBIAN_SECURITY_MIRROR", ""))
    try:
        lines = run(["apt-get", "indextargets", "--format", _TARGETS], timeout=60).check().stdout.splitlines()
    except ChainproofError:
        lines = []
    found: dict[str, str] = {}
    for kind, label, uri in (line.split(" ") for line in lines if line.count(" ") == 2):
        if kind == "Packages":
            found.setdefault(label, uri)
    if "Debian" not in found:
        raise Unusable("apt's sources and lists name no Debian mirror", "set CHAINPROOF_DEBIAN_MIRROR to its base URI")
    return Mirror(found["Debian"], found.get("Debian-Security", ""))


def _snapshots(suite: str, scratch: Path) -> str:
    """What the Release file of a suite (its URI) says of snapshots; empty if it says nothing, or cannot be had."""
    release = scratch / "InRelease"
    try:
        run([_FETCH, "download-file", f"{suite}/InRelease", str(release)], timeout=60).check()
        found = re.search(r"^Snapshots: *(\S+)$", release.read_text(errors="replace"), re.MULTILINE)
    except (ChainproofError, OSError):
        return ""
    return found.group(1) if found else ""
