"""The Debian mirror that this machine is configured for: chainproof names none itself."""

from __future__ import annotations

import os
from dataclasses import dataclass

from harness.errors import ChainproofError, Unusable
from harness.process import run

_TARGETS = "$(CREATED_BY) $(LABEL) $(REPO_URI)"
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
