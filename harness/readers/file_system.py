"""The file system on an image, checked from outside."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.errors import CheckFailed
from harness.process import run


def check_ext4(disk: bytes, name: str) -> None:
    """Hold an ext4 file system (every byte of the disk that it fills) to itself with e2fsck, changing nothing.

    Raises CheckFailed with what e2fsck says unless it is clean, its journal included.
    """
    with tempfile.NamedTemporaryFile(prefix="chainproof-") as copy:
        copy.write(disk)
        copy.flush()
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        done = run(["e2fsck", "-f", "-n", str(Path(copy.name))], timeout=60, environment=environment)
    if done.exit_status != 0 or "recover" in done.output:
        raise CheckFailed(f"the file system on {name} is clean", f"e2fsck: status {done.exit_status}", done.output)
