"""The distribution's packages: which versions apt would install, and their files, unpacked and never installed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from harness.errors import CommandFailed, Unusable
from harness.process import run

UPDATE = "run as root: apt-get update"


def candidates(names: Sequence[str]) -> dict[str, str]:
    """The version that apt would install of each package; needs apt's lists, not the network. Raises Unusable."""
    text = run(["apt-cache", "policy", *names], timeout=60).check().stdout
    found = dict(re.findall(r"^(\S+):\n(?:  .*\n)*?  Candidate: (\S+)", text, re.MULTILINE))
    missing = [name for name in names if found.get(name, "(none)") == "(none)"]
    if missing:
        raise Unusable(f"apt knows no package {', '.join(missing)}", UPDATE)
    return {name: found[name] for name in names}


def unpack(package: str, downloads: Path, into: Path) -> None:
    """Download a package ("name" or "name=version") into `downloads`, and unpack it below `into`. Raises Unusable."""
    downloads.mkdir(exist_ok=True)
    before = set(downloads.glob("*.deb"))
    fetch = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package]
    try:
        run(fetch, timeout=300, directory=downloads).check()
    except CommandFailed as error:
        raise Unusable(f"cannot download {package}", UPDATE, error.stderr.strip()) from error
    (archive,) = set(downloads.glob("*.deb")) - before
    run(["dpkg-deb", "-x", str(archive), str(into)], timeout=120).check()
