"""A command of this machine's that forks as it likes, and still dies with us, with all that it started."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from harness.process import Completed, finish, spawn

# PID 1 of the command's process namespace: when it ends, the kernel kills all others. It ends with the command, which
# is killed when the life-line is let go. (bwrap's own --die-with-parent does not look whether its parent is gone by
# then; and a bwrap that dies before it lets its child begin leaves it waiting forever: nothing kills bwrap here.)
_FIRST = """
(cat <"/proc/self/fd/$0" >/dev/null; kill -KILL -1) &
"$@" </dev/null
exit $?
"""


def run_enclosed(command: Sequence[str], *, timeout: float, environment: Mapping[str, str]) -> Completed:
    """As harness.process.run, in a process namespace of its own, with this machine's files and our rights."""
    enclosed = ["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--as-pid-1", "--proc", "/proc"]
    enclosed += ["--cap-add", "ALL"] if os.getuid() == 0 else []
    line, hold = os.pipe()
    try:
        first = ["/bin/sh", "-c", _FIRST, str(line)]
        child = spawn([*enclosed, *first, *command], environment=environment, pass_fds=[line])
        done = finish(child, command, timeout=timeout)
    finally:
        os.close(line)
        os.close(hold)
    return done
