"""How a process in a sandbox has ended, as the kernel tells anyone who had hold of it, and not its parent alone."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
from pathlib import Path
from typing import Self

from harness.stack.sandbox import Sandbox

# linux/pidfd.h, from Linux 6.15 on
_GET_INFO = 0xC040_FF0B
_EXIT = 1 << 3
_SIZE, _EXIT_CODE = 64, 60


class Watched:
    """A process, until `close`; QEMU is nobody's child out here, so that nobody can wait for it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def found(cls, sandbox: Sandbox, pid: int) -> Self | None:
        """The orphan that has this pid in the sandbox; None where there is none, or the kernel does not tell."""
        try:
            orphans = Path(f"/proc/{sandbox.pid}/task/{sandbox.pid}/children").read_text().split()
            for orphan in map(int, orphans):
                status = Path(f"/proc/{orphan}/status").read_text()
                inside = next((line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:")), "")
                if inside == str(pid):
                    return cls(os.pidfd_open(orphan))
        except OSError:  # it has just ended, or /proc has no such file
            pass
        return None

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

    def ending(self) -> str:
        """ "status 0", "signal ABRT"; "" if it has not ended, or the kernel does not tell."""
        answer = bytearray(_SIZE)
        struct.pack_into("=Q", answer, 0, _EXIT)
        try:
            fcntl.ioctl(self._descriptor, _GET_INFO, answer)
        except OSError:
            return ""
        (told,) = struct.unpack_from("=Q", answer, 0)
        (code,) = struct.unpack_from("=i", answer, _EXIT_CODE)
        if not told & _EXIT:
            return ""
        if os.WIFSIGNALED(code):
            return f"signal {signal.Signals(os.WTERMSIG(code)).name.removeprefix('SIG')}"
        return f"status {os.waitstatus_to_exitcode(code)}"
