"""A chroot whose root is no mount point, as `chroot DIRECTORY` makes it: bubblewrap can build nothing there."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from harness.errors import Unusable

_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS
_PIVOT_ROOT = 155  # on x86_64; pivot_root(2) says what "." twice does
_DETACH = 2  # MNT_DETACH
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000  # sys/mount.h


def stand_on_a_mount() -> None:
    """Have this process, and all that it starts, see its root as a mount point, in mounts of its own.

    Does nothing where it is one, or where we are not root and may not. Nothing of it is seen outside. To be called
    before any thread is started. Raises Unusable.
    """
    if os.getuid() != 0 or _is_mount_point():
        return
    libc = ctypes.CDLL(None, use_errno=True)

    def must(what: str, status: int) -> None:
        if status != 0:
            reason = os.strerror(ctypes.get_errno())
            problem = f"the root of this chroot is no mount point, and cannot be made one: {what}: {reason}"
            raise Unusable(problem, "mount it first, outside: mount --bind DIRECTORY DIRECTORY")

    root, working = os.open("/", os.O_PATH), Path.cwd()
    try:
        must("unshare", libc.unshare(_NEW_MOUNTS))
        # entered anew, a mount namespace is seen from its own root: there our mounts can be cut off from all others
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        try:
            must("setns", libc.setns(own, 0))
        finally:
            os.close(own)
        must("mount --make-rprivate", libc.mount(None, b"/", None, _RECURSIVE | _PRIVATE, None))
        here = os.fsencode(Path(f"/proc/self/fd/{root}").readlink())
        must("mount --rbind", libc.mount(here, here, None, _BIND | _RECURSIVE, None))
        os.chdir(here)
        # what was above is gone then, for all that start here: a sandbox must not have this machine's /proc above it
        must("pivot_root", libc.syscall(_PIVOT_ROOT, b".", b"."))
        must("umount", libc.umount2(b".", _DETACH))
        os.chdir(working)
    finally:
        os.close(root)


def _is_mount_point() -> bool:
    return any(line.split()[4] == "/" for line in Path("/proc/self/mountinfo").read_text().splitlines())
