"""The file system on an image, checked from outside."""

from __future__ import annotations

import tempfile

from harness.errors import CheckFailed
from harness.process import run


def check_ext4(disk: bytes, name: str) -> None:
    """Hold an ext4 file system (every byte of the disk that it fills) to itself with e2fsck, changing nothing.

    Raises CheckFailed with what e2fsck says unless it is clean, its journal included.
    """
    with tempfile.TemporaryFile() as copy:  # it has no name: nothing is left of it, however we end
        copy.write(disk)
        copy.flush()
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        check = ["e2fsck", "-f", "-n", f"/proc/self/fd/{copy.fileno()}"]
        done = run(check, timeout=60, environment=environment, pass_fds=[copy.fileno()])
    if done.exit_status != 0 or "recover" in done.output:
        raise CheckFailed(f"the file system on {name} is clean", f"e2fsck: status {done.exit_status}", done.output)
