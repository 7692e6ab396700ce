"""Open a file only if it lies in a directory: whatever its name says, and whatever links are on the way.

Image headers are input from strangers: the names in them must lead nowhere else on the machine that reads them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from pathlib import Path

from harness.errors import ImageError

_OPENAT2 = 437  # the same number on every architecture (Linux 5.6)
_NO_MAGICLINKS, _BENEATH = 0x02, 0x08  # linux/openat2.h
_ATTEMPTS = 16  # EAGAIN: something was renamed meanwhile
_LOOK = os.O_PATH | os.O_CLOEXEC
_NOT_THERE = frozenset({errno.ENOSYS, errno.EPERM})  # an old kernel; a seccomp filter that knows no openat2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def open_beneath(directory: Path, path: Path, image: str) -> int:
    """A descriptor to read the regular file at `path`, which must lie in `directory` or below; `image` names it.

    The file is looked at before it is opened (O_PATH): no FIFO is waited for, and no device notices. Links may lead
    from one place in the directory to another. Raises ImageError for all else.
    """
    names = _names_in(directory, path, image)
    try:
        root = os.open(directory, _LOOK | os.O_DIRECTORY)
        try:
            found = _find(root, names)
        finally:
            os.close(root)
        try:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise ImageError(image, f"is no regular file: it is {_kind(os.fstat(found).st_mode)}")
            return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        finally:
            os.close(found)
    except OSError as error:
        raise ImageError(image, _refusal(error, directory)) from None


def _names_in(directory: Path, path: Path, image: str) -> list[str]:
    """The names that lead from `directory` to `path`; `path` may leave the directory by ".." and come back by name."""
    own, at = directory.parts, path.parts[:0]
    for number, name in enumerate(path.parts):
        if at == own and name != "..":
            return list(path.parts[number:])
        if at != own[: len(at)]:
            break
        at = at[:-1] if name == ".." else (*at, name)
    if at == own:
        return ["."]
    raise ImageError(image, f"cannot be opened: it lies outside {directory}")


def _find(root: int, names: list[str]) -> int:
    """What `names` lead to from the directory `root`, as an O_PATH descriptor. Raises OSError."""
    try:
        return _openat2(root, "/".join(names))
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
    return walk(root, names)


def _openat2(root: int, name: str) -> int:
    how = struct.pack("=QQQ", _LOOK, 0, _BENEATH | _NO_MAGICLINKS)
    for _ in range(_ATTEMPTS):
        arguments = (ctypes.c_int(root), ctypes.c_char_p(os.fsencode(name)), how, ctypes.c_size_t(len(how)))
        found = int(_libc.syscall(ctypes.c_long(_OPENAT2), *arguments))
        if found >= 0:
            return found
        if ctypes.get_errno() != errno.EAGAIN:
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def walk(root: int, names: list[str]) -> int:
    """As openat2 does it, for a kernel without: name by name, and with no link at all. Raises OSError."""
    at = os.dup(root)
    try:
        for number, name in enumerate(names):
            if name == "..":
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            is_last = number == len(names) - 1
            inner = os.open(name, _LOOK | os.O_NOFOLLOW | (0 if is_last else os.O_DIRECTORY), dir_fd=at)
            os.close(at)
            at = inner
        if stat.S_ISLNK(os.fstat(at).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    except BaseException:
        os.close(at)
        raise
    return at


def _refusal(error: OSError, directory: Path) -> str:
    match error.errno:
        case errno.EXDEV:
            return f"cannot be opened: its name or a link leads out of {directory}"
        case errno.ELOOP:
            return "cannot be opened: it is a link that leads to itself or through /proc"
    return f"cannot be opened: {error.strerror}"


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFBLK: "a block device",
        stat.S_IFCHR: "a character device",
    }
    return kinds.get(stat.S_IFMT(mode), "of an unknown kind")
