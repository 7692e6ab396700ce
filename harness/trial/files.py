"""The files in a directory as each was when it was first there: what must not change while its content does."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.journal import Entry, Kind


@dataclass(frozen=True)
class Nature:
    """What a file is, whatever is in it: `inode` tells whether it is still the same one."""

    mode: str
    uid: int
    gid: int
    inode: int

    @classmethod
    def of(cls, file: Path) -> Nature:
        """That of a file that is there; links are not followed."""
        found = file.lstat()
        return cls(stat.filemode(found.st_mode), found.st_uid, found.st_gid, found.st_ino)

    def __str__(self) -> str:
        return f"{self.mode} {self.uid}:{self.gid}, inode {self.inode}"


class Files:
    """Keeps the nature of each file in `directory` from the first act on after which it is there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._first: dict[str, Nature] = {}

    def after(self, entry: Entry) -> None:
        """Look after what was done from outside; a listener of the journal's."""
        if entry.act and entry.kind is not Kind.GUEST:
            there = {file.name: file for file in self._directory.iterdir()}
            self._first = {name: first for name, first in self._first.items() if name in there}
            for name in there.keys() - self._first.keys():
                self._first[name] = Nature.of(there[name])

    def changed(self) -> Iterator[tuple[str, Nature, Nature]]:
        """Each file whose nature is another by now: its name, what it was and what it is."""
        for name, first in sorted(self._first.items()):
            file = self._directory / name
            if file.exists() and (now := Nature.of(file)) != first:
                yield name, first, now
