"""What a run has left on the machine: processes, mounts, files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def leftovers(mark: str, work: Path) -> list[str]:
    """All that a run left whose processes have `mark` in their environment, or name or mount its `work` directory.

    Zombies do not count: they are dead, and their parent is not ours.
    """
    # os.walk, unlike rglob, is not upset by directories that vanish while it looks
    found = [f"file {directory}/{name}" for directory, below, files in os.walk(work) for name in (*below, *files)]
    found += [f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(work) in line]
    return [*found, *_processes(mark, work)]


def _processes(mark: str, work: Path) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if "\nState:\tZ" in (process / "status").read_text():
                continue
            marked = mark.encode() in (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if marked or str(work) in command or str(work) in (process / "mountinfo").read_text():
                yield f"process {process.name}: {command[:100]}"
        except OSError:
            continue  # it ended while we looked, or it is another user's
