"""Whether a directory that was made once still holds what it was made with: each file is looked at, not read."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path

Entry = tuple[int, int, str]
"""Of a file or link: its bytes, when it was changed last (ctime, which nobody can set), and the hash of its content."""


def seal(directory: Path, file: Path) -> None:
    """Write down into `file`, which may lie in `directory`, what is in `directory`."""
    _write(file, {name: (*state, _content(directory / name)) for name, state in _states(directory, file).items()})


def damage(directory: Path, file: Path) -> str:
    """What is not as it was sealed, in words, or nothing.

    What looks changed is read: a copy of the whole directory has the right content, and is sealed as it is now.
    """
    try:
        sealed = _read(file)
        found = _states(directory, file)
    except FileNotFoundError:
        return "there is no seal"
    except (OSError, ValueError, AttributeError, TypeError) as error:
        return f"its seal cannot be read: {error}"
    for name in sorted(sealed.keys() ^ found.keys()):
        return f"{name} is missing" if name in sealed else f"{name} has come from elsewhere"
    touched = {name: state for name, state in found.items() if state != sealed[name][:2]}
    for name, (size, _) in touched.items():
        if size != sealed[name][0]:
            return f"{name} has {size} bytes, not {sealed[name][0]}"
        if _content(directory / name) != sealed[name][2]:
            return f"the content of {name} has changed"
    if touched:
        with suppress(OSError):  # a cache that cannot be written: they are read the next time, too
            _write(file, {name: (*state, sealed[name][2]) for name, state in found.items()})
    return ""


def _states(directory: Path, besides: Path) -> dict[str, tuple[int, int]]:
    """Bytes and ctime of everything in a directory that is no directory, by its name relative to it."""
    states = {}
    root = os.fspath(directory)
    for at, below, files in os.walk(root):
        for path in (f"{at}/{name}" for name in (*below, *files)):
            state = os.lstat(path)
            if not stat.S_ISDIR(state.st_mode) and path != os.fspath(besides):
                states[path[len(root) + 1 :]] = (state.st_size, state.st_ctime_ns)
    return states


def _content(path: Path) -> str:
    """The hash of a file's content, or where a link leads; anything else has none."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"-> {path.readlink()}"
    if not stat.S_ISREG(mode):
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(file: Path) -> dict[str, Entry]:
    entries = json.loads(file.read_text()).items()
    return {name: (int(size), int(changed), str(content)) for name, (size, changed, content) in entries}


def _write(file: Path, entries: dict[str, Entry]) -> None:
    """A seal that is half-written when we die is none: what it was to vouch for is then made anew."""
    file.write_text(json.dumps(entries))
