"""Block devices for a trial's images: loop devices of this machine that nobody else sees, and that go with us.

The kernel releases each when the last who has it open is gone (LO_FLAGS_AUTOCLEAR): we, or a QEMU, however we end.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import tempfile
from fcntl import ioctl
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Self

from harness.errors import Unusable
from harness.stack.sandbox import Sandbox
from harness.storage.stores import beneath

_CONTROL = Path("/dev/loop-control")
_GET_FREE, _CONFIGURE = 0x4C82, 0x4C0A  # linux/loop.h; LOOP_CONFIGURE since Linux 5.8
_AUTOCLEAR = 4
_CONFIG = struct.Struct("=II5Q4I64s64s32s2Q64s")  # struct loop_config
_DISCARD = 0x1277  # BLKDISCARD, linux/fs.h
_LOOP_MAJOR = 7
_ATTEMPTS = 64  # others look for a free one, too
_SECTOR = 512
_FOREIGN = b"foreign." * 64


class BlockDevice:
    """A block device at `path`, a new node, with `size` bytes that lie in a file beside it; it is there until `close`.

    They are zeros, or foreign if it is `stale`.

    Raises Unusable where this machine gives us none.
    """

    def __init__(self, path: Path, size: int, *, stale: bool = False) -> None:
        self._path = path
        self._size = size
        if path.exists() or beneath(path).exists():
            raise ValueError(f"{path} is there already")
        try:
            with beneath(path).open("xb") as file:
                file.truncate(size)
                file.write(_FOREIGN * (size // len(_FOREIGN)) if stale else b"")
            self._descriptor = _attached(path, beneath(path))
        except OSError as error:
            self._remove()
            raise Unusable(f"no block device can be had: {error}", _remedy(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def flush(self) -> None:
        """Write what the kernel keeps of it to where a reader of the file sees it."""
        os.fsync(self._descriptor)

    def wipe(self) -> None:
        """Discard all that it holds."""
        ioctl(self._descriptor, _DISCARD, struct.pack("=QQ", 0, self._size))

    def close(self) -> None:
        """Let go of it; it stays as long as somebody else has it open."""
        os.close(self._descriptor)
        self._remove()

    def _remove(self) -> None:
        for file in (self._path, beneath(self._path)):
            file.unlink(missing_ok=True)


class BlockDevices:
    """The block devices of a trial in `sandbox`, by their paths inside."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._devices: dict[PurePosixPath, BlockDevice] = {}

    def make(self, path: PurePosixPath, size: int, *, stale: bool = False) -> None:
        """Have one of `size` bytes at `path`: zeros, or foreign ones. Raises Unusable."""
        place = self._sandbox.outside(path)
        place.parent.mkdir(exist_ok=True)
        self._devices[path] = BlockDevice(place, size, stale=stale)

    def wipe(self, path: PurePosixPath) -> None:
        """Discard all that one holds."""
        self._devices[path].wipe()

    def flush(self) -> None:
        """Have readers of the files see what was written to all of them."""
        for device in self._devices.values():
            device.flush()

    def close(self) -> None:
        """Let go of all."""
        while self._devices:
            self._devices.popitem()[1].close()


@cache
def why_none(work: Path) -> str:
    """Why there can be no block device in the directory `work`, or ""."""
    with tempfile.TemporaryDirectory(dir=work) as directory:
        try:
            BlockDevice(Path(directory) / "probe", 1 << 20).close()
        except Unusable as error:
            return str(error)
    return ""


def _attached(path: Path, file: Path) -> int:
    """A descriptor of a free loop device, whose node is made at `path`, and whose bytes are those of `file`."""
    with _CONTROL.open("rb") as control, file.open("r+b") as backing:
        for _ in range(_ATTEMPTS):
            number = ioctl(control, _GET_FREE)
            os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(_LOOP_MAJOR, number))
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            info = (*(0,) * 8, _AUTOCLEAR, b"chainproof", b"", b"", 0, 0)  # struct loop_info64
            try:
                ioctl(descriptor, _CONFIGURE, _CONFIG.pack(backing.fileno(), _SECTOR, *info, b""))
            except OSError as error:
                os.close(descriptor)
                path.unlink()
                if error.errno != errno.EBUSY:
                    raise
                continue
            return descriptor
    raise OSError(errno.EBUSY, "others take every loop device")


def _remedy(error: OSError) -> str:
    if os.geteuid() != 0:
        return "only root can have loop devices"
    if error.errno == errno.EACCES:
        return "the work directory is mounted with nodev, or the container may not use loop devices: see --work-dir"
    return "load the module loop (modprobe loop), and let the container use loop devices"
