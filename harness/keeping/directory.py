"""A directory that is made and removed by a keeper, which outlives us by no more than that."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import ChainproofError, how_ended
from harness.process import Child, installed, read_until, spawn, wait
from harness.waiting import scaled

# Makes the directory, waits for the end of its stdin (the life-line), removes the directory. Made by us, it would stay
# behind if we were killed right then; and so it would if the keeper died of telling us. What ends at the same time may
# still write into it: hence the repeats.
_KEEPER = """
trap '' PIPE
mkdir -m 700 "$1" || exit 1
echo made
cat >/dev/null
n=0
until rm -rf "$1" 2>/dev/null || [ $n -gt 1000 ]; do
    n=$((n + 1))
    usleep 10000
done
"""
_TRIES = 5


class KeptDirectory:
    """A new, private directory below `parent`, at `path`; gone when it is closed, or when we are, `kill -9` included.

    Its name is `kind` and a number drawn by lot. As long as we live we hold a flock on it, which is seen from any
    process namespace, where our pid is not: see `sweep`. Raises OSError if the directory cannot be made.
    """

    def __init__(self, parent: Path, kind: str) -> None:
        self._keeper: Child | None = None
        self._claim = -1
        for _ in range(_TRIES):  # somebody else's sweep may take it before we have claimed it
            self.path = parent / f"{kind}-{secrets.token_hex(4)}"
            self._make()
            if self._claimed():
                return
            self.close()
        raise OSError(errno.EBUSY, "it is taken away as soon as it is made", str(self.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the directory. Raises ChainproofError if its keeper has not: it was killed, say."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        assert keeper.stdin is not None
        keeper.stdin.close()
        try:
            status = wait(keeper, f"{self.path} to be removed", timeout=20)
        finally:
            if self._claim >= 0:
                os.close(self._claim)
                self._claim = -1
        if status != 0 or self.path.exists():
            shutil.rmtree(self.path, ignore_errors=True)
            gone = "is still there" if self.path.exists() else "was removed in its place"
            raise ChainproofError(f"the keeper of {self.path} {how_ended(status)}: the directory {gone}")

    def ailment(self) -> str:
        """What is wrong with its keeper, in words, or nothing."""
        status = self._keeper.poll() if self._keeper is not None else None
        return "" if status is None else f"the keeper of {self.path} {how_ended(status)}"

    def _make(self) -> None:
        keeper = spawn([installed("busybox", "busybox-static"), "sh", "-c", _KEEPER, "keeper", str(self.path)])
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        with keeper.stdout as out, keeper.stderr as complaints:
            if read_until(out.fileno(), b"made\n", f"{self.path} to be made", seconds=scaled(20)):
                self._keeper = keeper
                return
            words = complaints.read().decode(errors="replace").strip()
        keeper.stdin.close()
        wait(keeper, "the keeper to end", timeout=20)
        raise OSError(errno.EIO, words.rpartition(": ")[2] or "its keeper has died", str(self.path))

    def _claimed(self) -> bool:
        try:
            self._claim = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            fcntl.flock(self._claim, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (FileNotFoundError, BlockingIOError):
            return False
        return os.fstat(self._claim).st_nlink > 0


def sweep(parent: Path, kind: str) -> list[Path]:
    """Remove the kept directories of a kind whose owners died together with their keepers (a crashed machine)."""
    removed = []
    for old in sorted(parent.glob(f"{kind}-*")):
        with _abandoned(old) as abandoned:
            if abandoned:
                shutil.rmtree(old, ignore_errors=True)
                removed.append(old)
    return removed


def claimed(directory: Path) -> bool:
    """Whether it is a kept directory whose owner lives."""
    with _abandoned(directory) as abandoned:
        return directory.is_dir() and not abandoned


@contextmanager
def _abandoned(directory: Path) -> Iterator[bool]:
    """Whether nobody claims the directory; nobody can as long as we look."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        yield _taken(descriptor)
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
