"""What is under test: one libvirt and QEMU pair, with exact versions."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.errors import Unusable
from harness.process import run

_INSTALL = "run: ci/run doctor"


@dataclass(frozen=True)
class Stack:
    """A libvirt and QEMU pair: `tree` is the root of the file system tree whose /usr holds it.

    The program paths are as seen inside that tree.
    """

    name: str
    tree: Path
    libvirtd: str
    virsh: str
    qemu: str
    qemu_img: str

    @classmethod
    def host(cls, path: str = "/usr/sbin:/usr/bin:/sbin:/bin") -> Stack:
        """The pair that is installed on this machine, as `path` finds it. Raises Unusable if a program is missing."""
        names = ("libvirtd", "virsh", "qemu-system-x86_64", "qemu-img")
        found = {name: shutil.which(name, path=path) for name in names}
        missing = [name for name, program in found.items() if program is None]
        if missing:
            raise Unusable(f"not installed: {', '.join(missing)}", _INSTALL)
        return cls("host", Path("/"), *(str(found[name]) for name in names))

    @cached_property
    def versions(self) -> tuple[str, str]:
        """(libvirt, QEMU) as the programs themselves say, with the distribution's revision where they tell it."""
        libvirt = run([self.libvirtd, "--version"], timeout=60).check().stdout
        qemu = run([self.qemu, "--version"], timeout=60).check().stdout
        return _version(r"libvirt\) (\S+)", libvirt), _version(r"version (.+)", qemu)

    def __str__(self) -> str:
        libvirt, qemu = self.versions
        return f"libvirt {libvirt}, QEMU {qemu}"


def _version(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found.group(1).strip() if found else f"unknown ({text.strip()[:60]})"
