"""What answers is what was announced: the versions that libvirtd and QEMU give, and the files that they run from."""

from __future__ import annotations

from pathlib import Path

from harness.errors import Unusable
from harness.stack.programs import Program
from harness.stack.sandbox import Sandbox
from harness.stack.stack import LIBVIRTD, QEMU, Stack
from harness.stack.version import Version

_REMEDY = "this is a fault of the harness or of the sandbox: nothing that was tested is what was announced"


def require_libvirt(stack: Stack, number: int, sandbox: Sandbox, pid: int) -> None:
    """Raise Unusable unless the stack's libvirtd answers: `number` is virConnectGetLibVersion's, `pid` the one inside.

    libvirt writes a version as one number, major * 1,000,000 + minor * 1,000 + release.
    """
    answered = f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"
    _require(stack, LIBVIRTD, stack.libvirt_version, answered, sandbox, pid)


def require_qemu(stack: Stack, answered: str, sandbox: Sandbox, pid: int) -> None:
    """Raise Unusable unless the stack's QEMU answers: `answered` is what query-version gave, `pid` the one inside."""
    _require(stack, QEMU, stack.qemu_version, answered, sandbox, pid)


def _require(stack: Stack, name: str, announced: Version, answered: str, sandbox: Sandbox, pid: int) -> None:
    if announced.upstream not in (answered, "unknown"):
        problem = f"{stack.name}: {name} {announced} was announced, and version {answered} answers"
        raise Unusable(problem, _REMEDY)
    program = stack.program(name)
    process = Path(f"/proc/{sandbox.pid}/root/proc/{pid}")
    if not _runs(process, program):
        running = (process / "exe").readlink()
        raise Unusable(f"{stack.name}: {name} was to be {program.file}, and {running} runs in its place", _REMEDY)


def _runs(process: Path, program: Program) -> bool:
    """Whether a process is one of a program: by itself, or loaded by the loader of another tree."""
    if program.is_shell_script:
        return True  # what it starts is its own affair
    if (process / "exe").samefile(program.file):
        return True
    inode = str(program.file.stat().st_ino)  # maps gives the device below an overlay, which is another
    return any(line.split(maxsplit=5)[4] == inode for line in (process / "maps").read_text().splitlines())
