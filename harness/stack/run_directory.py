"""Where one sandbox keeps its files: made and removed by a keeper that outlives us by no more than that."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.errors import Unusable
from harness.process import NOWHERE, Child, read_until, spawn, wait
from harness.waiting import scaled

FREE_BYTES = 256 << 20  # a scenario's images, a guest's console, logs
_SOCKET_PATH_BYTES = 108  # sun_path, unix(7)
_LONGEST_SOCKET = "sock/libvirt-sock"

# Makes the directory, waits for the end of its stdin (the life-line), removes the directory. Made by us, it would stay
# behind if we were killed right then. What ends at the same time may still write into it: hence the repeats.
_KEEPER = """
mkdir -m 700 "$1" || exit 1
echo made
cat >/dev/null
n=0
until rm -rf "$1" 2>/dev/null || [ $n -gt 1000 ]; do
    n=$((n + 1))
    usleep 10000
done
"""


class RunDirectory:
    """A new, private directory below `work`, at `path`; gone when it is closed, or when we are, `kill -9` included.

    Raises Unusable where `work` cannot hold a socket, has no room, or cannot be written.
    """

    def __init__(self, work: Path) -> None:
        first = work / f"{os.getpid()}-0000"
        if len(str(first / _LONGEST_SOCKET)) >= _SOCKET_PATH_BYTES:
            problem = f"the work directory's path is too long for a socket ({len(str(work))} bytes): {work}"
            raise Unusable(problem, "choose a shorter one: --work-dir")
        _prepare(work)
        numbers = (work / f"{os.getpid()}-{number}" for number in range(10_000))
        self.path = next(path for path in numbers if not path.exists())
        keeper = [static_busybox(), "sh", "-c", _KEEPER, "keeper", str(self.path)]
        self._keeper: Child | None = spawn(keeper, stderr=NOWHERE)
        assert self._keeper.stdout is not None
        with self._keeper.stdout as out:
            made = read_until(out.fileno(), b"made\n", f"{self.path} to be made", seconds=scaled(20))
        if not made:
            self.close()
            raise Unusable(f"the work directory {work} cannot be written", "choose another: --work-dir")

    def close(self) -> None:
        """Remove the directory."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            assert keeper.stdin is not None
            keeper.stdin.close()
            wait(keeper, f"{self.path} to be removed", timeout=20)


def static_busybox() -> str:
    """Where busybox is: linked statically, it runs in any tree. Raises Unusable if it is not installed."""
    program = shutil.which("busybox", path="/usr/bin:/bin")
    if program is None:
        raise Unusable("not installed: busybox-static", "run: ci/run doctor")
    return program


def _prepare(work: Path) -> None:
    """Make `work`, and sweep what was left in it by runs that died together with their keepers (a crashed machine)."""
    try:
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in work.iterdir():
            owner, _, number = old.name.partition("-")
            if owner.isdecimal() and number.isdecimal() and not Path(f"/proc/{owner}").exists():
                shutil.rmtree(old, ignore_errors=True)
        free = shutil.disk_usage(work).free
    except OSError as error:
        problem = f"the work directory {work} cannot be used: {error.strerror}"
        raise Unusable(problem, "choose another: --work-dir") from error
    if free < FREE_BYTES:
        problem = f"the work directory {work} has {free >> 20} MiB free, {FREE_BYTES >> 20} MiB are needed"
        raise Unusable(problem, "choose another: --work-dir")
