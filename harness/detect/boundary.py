"""Steps over a sandbox's boundary, as shell scripts that end with status 0 if they got to the other side."""

from __future__ import annotations

import secrets
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.process import Completed, Runner, end, installed, run, spawn

_SYSCTL = "/proc/sys/kernel/core_pattern"
_REMOUNT = "mount -o remount,bind,rw /proc /proc"
_NO_MODULE = "echo none >/run/none.ko; insmod /run/none.ko 2>&1 | grep -q 'invalid module format'"

# Opened to be written, and left as they are: each is harmless where it succeeds. `$mark` is a pattern that does not
# match itself.
STEPS: Mapping[str, str] = {
    "write a sysctl": f": >>{_SYSCTL}",
    "write a sysctl after a remount": f"{_REMOUNT} && : >>{_SYSCTL}",
    "write a sysctl by another /proc": f"unshare -m -p -f sh -c 'mount -t proc p /run && : >>/run{_SYSCTL[5:]}'",
    "write a sysctl after a remount elsewhere": f"unshare -m sh -c '{_REMOUNT} && : >>{_SYSCTL}'",
    "write to /sys": ": >>/sys/kernel/mm/transparent_hugepage/enabled",
    "make a device": "mknod /run/kvm c 10 232",
    "mount all devices": "mount -t devtmpfs d /run",
    "mount all devices elsewhere": "unshare -m mount -t devtmpfs d /run",
    "mount a file system": "mount -t tmpfs t /run",
    "mount a directory": "mount -o bind /usr /run",
    "read the kernel's log": "dmesg | grep -q .",
    "set the host name": "hostname elsewhere",
    "set up an interface": "ip link set lo mtu 65536",
    "connect to this machine": "nc 127.0.0.1 $port -e $busybox true",
    "see an abstract socket": 'grep -q "$mark" /proc/net/unix',
    "see a process": 'grep -q "$mark" /proc/[0-9]*/cmdline',
    "signal a process": "kill -0 $pid",
    "read a file": "cat $file",
    "read a file by way of a process": "cat /proc/$pid/root$file",
    "write a file": ": >>$file",
    "write a program's file": ": >>/usr/share/libvirt/cpu_map/index.xml",
}
OF_SOME_MACHINES = {
    "/dev/kvm": ("open /dev/kvm", "[ -c /dev/kvm ] && : >>/dev/kvm"),
    "/proc/sysrq-trigger": ("press SysRq", ": >>/proc/sysrq-trigger"),
    "/proc/modules": ("load a module", _NO_MODULE),
}
"""The steps that only machines can have that have these files."""
FOR_ANYBODY = frozenset(
    {"connect to this machine", "see an abstract socket", "see a process", "signal a process", "read a file"}
    | {"write a file"}
)
"""The steps that succeed outside whoever takes them; the others need root there, too."""
_OUTSIDE = ("bwrap", "--dev-bind", "/", "/", "--tmpfs", "/run", "--unshare-uts")


class OtherSide:
    """What there is to reach on this machine: a process, a listener, an abstract socket, and `directory`'s file."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "secret"
        self._mark = f"chainproof-{secrets.token_hex(8)}"
        self._variables = ""

    @contextmanager
    def there(self) -> Iterator[None]:
        """While it is there to be reached."""
        self._file.write_text("secret\n")
        with ExitStack() as stack:
            process = spawn([installed("busybox", "busybox-static"), "sh", "-c", "read -r _", self._mark])
            stack.callback(end, process, timeout=5)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
            abstract.bind(f"\0{self._mark}")
            values = {"pid": process.pid, "port": listener.getsockname()[1], "file": self._file}
            values["mark"] = f"[{self._mark[0]}]{self._mark[1:]}"
            self._variables = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in values.items())
            yield

    def take(self, script: str, run_inside: Runner, busybox: str) -> Completed:
        """Take the step that a script is, where `run_inside` runs commands; `busybox` is where busybox is there."""
        return run_inside([busybox, "sh", "-c", f"busybox={busybox} {self._variables}\n{script}"], timeout=20)


def outside(command: Sequence[str], *, timeout: float, input_bytes: bytes | None = None) -> Completed:
    """A Runner that runs a command outside every boundary, in a mount namespace that keeps what it mounts."""
    return run([*_OUTSIDE, "--", *command], timeout=timeout, input_bytes=input_bytes)
