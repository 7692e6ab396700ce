"""Root's user namespace: whoever is in it is root of its files, and has no power over this machine.

It owns no other namespace. Those of a sandbox are made outside it, so that root inside can neither mount nor unmount,
make no device, set no address and no host name: the kernel asks for that in the namespace that owns what is changed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness.errors import Unusable
from harness.process import Child, dying_with_us, end, read_until, spawn
from harness.waiting import scaled

_UP = b"up\n"
# the kernel makes no user namespace in a chroot: who enters the mount namespace anew is at its root
_MAKER = f"""
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.setns(os.open("/proc/self/ns/mnt", os.O_RDONLY), 0)  # may be refused where there is no chroot
if libc.unshare(0x10000000):
    sys.exit(os.strerror(ctypes.get_errno()))
os.write(1, {_UP!r})
os.read(0, 1)
"""
_REMEDY = (
    "user namespaces must be allowed, for root too (sysctl user.max_user_namespaces; in a container: --privileged)"
)


@cache
def powerless_root() -> int:
    """A descriptor of the namespace, which this process makes once and keeps (12 ms).

    Every uid in it is what it is outside. Raises Unusable.
    """
    maker = spawn(dying_with_us([sys.executable, "-I", "-S", "-c", _MAKER]))
    try:
        return _made(maker)
    finally:
        end(maker, timeout=5)


def _made(maker: Child) -> int:
    assert maker.stdout is not None
    assert maker.stderr is not None
    if read_until(maker.stdout.fileno(), _UP, "a user namespace", seconds=scaled(20)) != _UP:
        words = maker.stderr.read().decode(errors="replace").strip()
        raise Unusable("root cannot make a user namespace", _REMEDY, words)
    process = Path(f"/proc/{maker.pid}")
    try:
        for name in ("uid_map", "gid_map"):
            (process / name).write_text(_same(Path("/proc/self", name).read_text().splitlines()))
        return os.open(process / "ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Unusable("root cannot make a user namespace", _REMEDY, str(error)) from error


def _same(lines: Sequence[str]) -> str:
    """A map of the ids that the present map (lines of first inside, first outside, how many) has, each to itself."""
    ranges = [line.split() for line in lines]
    return "".join(f"{first} {first} {number}\n" for first, _, number in ranges)
