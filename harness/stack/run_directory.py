"""Where one sandbox keeps its files: a directory of our own, which is gone when we are."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from harness.errors import Unusable
from harness.keeping.directory import KeptDirectory, sweep

FREE_BYTES = 256 << 20  # a scenario's images, a guest's console, logs
_KIND = "run"
_SOCKET_PATH_BYTES = 108  # sun_path, unix(7)
_LONGEST_SOCKET = f"{_KIND}-01234567/sock/libvirt-sock"
_ANOTHER = "choose another: --work-dir"


class RunDirectory(KeptDirectory):
    """A new, private directory below `work`, at `path`; gone when it is closed, or when we are, `kill -9` included.

    Raises Unusable where `work` cannot hold a socket, has no room, cannot be written, or is not ours alone to write.
    """

    def __init__(self, work: Path) -> None:
        if len(str(work / _LONGEST_SOCKET)) >= _SOCKET_PATH_BYTES:
            problem = f"the work directory's path is too long for a socket ({len(str(work))} bytes): {work}"
            raise Unusable(problem, "choose a shorter one: --work-dir")
        _prepare(work)
        try:
            super().__init__(work, _KIND)
        except OSError as error:
            raise Unusable(f"the work directory {work} cannot be written: {error.strerror}", _ANOTHER) from error


def _prepare(work: Path) -> None:
    """Make `work`, and sweep what was left in it by runs that died together with their keepers (a crashed machine)."""
    try:
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_what_others_write(work)
        sweep(work, _KIND)
        free = shutil.disk_usage(work).free
    except OSError as error:
        raise Unusable(f"the work directory {work} cannot be used: {error.strerror}", _ANOTHER) from error
    if free < FREE_BYTES:
        problem = f"the work directory {work} has {free >> 20} MiB free, {FREE_BYTES >> 20} MiB are needed"
        raise Unusable(problem, _ANOTHER)


def _refuse_what_others_write(work: Path) -> None:
    """What lies in it is run and believed. Its name can be foreseen: somebody else may have made it first."""
    state = work.lstat()
    if stat.S_ISLNK(state.st_mode):
        raise Unusable(f"the work directory {work} is a symbolic link", "name what it leads to: --work-dir")
    if state.st_uid != os.getuid():
        problem = f"the work directory {work} belongs to uid {state.st_uid}, not to uid {os.getuid()}"
        raise Unusable(problem, _ANOTHER)
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem = f"others can write to the work directory {work} (mode {stat.S_IMODE(state.st_mode):04o})"
        raise Unusable(problem, f"chmod go-w {work}, or choose another: --work-dir")
