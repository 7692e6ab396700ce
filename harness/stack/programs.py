"""Programs in place of a stack's own: candidate builds, wrappers, another tree's QEMU; made to run in any tree."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import Unusable

DIRECTORY = "/chainproof/bin"  # first in PATH inside the sandbox: a line that is typed finds these first
_TREES = "/chainproof/trees"
_LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "usr/lib")
# the second is an absolute link on Debian, which would lead out of the tree
_LOADERS = ("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "lib64/ld-linux-x86-64.so.2")
# where distributions keep QEMU's firmware and modules
_DATA = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")
_MODULES = ("usr/lib/x86_64-linux-gnu/qemu", "usr/lib64/qemu")
_SOURCES = (".git", "meson.build")


@dataclass(frozen=True)
class Program:
    """`name` as typed, and the file `path` that is to run then, with the libraries of `tree`.

    A path in "/" is this machine's; what lies beside it (its prefix, or its whole source tree) is shown with it.
    `package` is the version of the package that brought it, if one did; `at` is a path in the sandbox at which it
    stands as well, in the place of what the sandbox's own tree has there.
    """

    name: str
    path: Path
    tree: Path = Path("/")
    package: str = ""
    at: str = ""

    def __post_init__(self) -> None:
        if not self.file.is_file():
            raise Unusable(f"there is no file {self.file} to take as {self.name}")
        with self.file.open("rb") as file:
            if file.read(8) == b"!<arch>\n":
                instead = "unpack it with all that it needs into a tree, and pass dir:TREE; or +PROGRAM=debian:SUITE"
                raise Unusable(f"{self.file} is a package and no program to take as {self.name}", instead)
        if not os.access(self.file, os.X_OK):
            raise Unusable(f"{self.file} cannot be executed, so it is no {self.name}", "pass a program, or chmod +x it")

    @property
    def file(self) -> Path:
        """Where it is on this machine."""
        return self.tree / self.path.relative_to("/")

    @property
    def origin(self) -> str:
        """Where it is from, with what changes when it is built again."""
        built = datetime.fromtimestamp(self.file.stat().st_mtime, UTC).isoformat(timespec="seconds")
        return f"{self.file} of {built}"

    @property
    def beside(self) -> Path | None:
        """The directory that it needs to be seen with; None if the tree's /usr has it anyway."""
        if self.tree != Path("/"):
            return None
        path = self.path.resolve()
        sources = [above for above in path.parents if any((above / name).exists() for name in _SOURCES)]
        prefix = path.parent.parent if path.parent.name in ("bin", "sbin", "libexec") else path.parent
        shown = sources[-1] if sources else prefix
        usr = Path("/usr")
        return None if shown == Path("/") or shown == usr or usr in shown.parents else shown

    def script(self, number: int) -> str:
        """A script that runs it in a sandbox whose tree is another; its own tree is `number` (see `shown_tree`)."""
        if self.is_shell_script:
            return f'exec /chainproof/busybox sh {shlex.quote(str(self.path))} "$@"'
        root = f"{_TREES}/{number}"
        beside = self.beside
        program = str(self.path) if beside else f"{root}{self.path}"
        libraries = [f"{beside}/{name}" for name in ("lib/x86_64-linux-gnu", "lib64", "lib")] if beside else []
        libraries += [f"{root}/{name}" for name in _LIBRARIES]
        lines = [f"export QEMU_MODULE_DIR={root}/{self.modules}"] if self.modules else []
        data = [f"{beside}/share/qemu"] if beside else []
        data += [f"{root}/{name}" for name in _DATA if (self.tree / name).is_dir()]
        firmware = [word for name in data for word in ("-L", name)] if self.name.startswith("qemu-system") else []
        loader = next((name for name in _LOADERS if (self.tree / name).exists()), _LOADERS[0])
        command = [f"{root}/{loader}", "--library-path", ":".join(libraries), program, *firmware]
        return "\n".join([*lines, f'exec {shlex.join(command)} "$@"'])

    @property
    def modules(self) -> str:
        """Where below its tree its QEMU modules are; empty if it has a prefix of its own, or none."""
        return "" if self.beside else next((name for name in _MODULES if (self.tree / name).is_dir()), "")

    @property
    def is_shell_script(self) -> bool:
        """Whether it is a wrapper around something."""
        with self.file.open("rb") as file:
            first = file.readline(80)
        return first.startswith(b"#!") and first.rstrip().endswith(b"sh")


def tree_options(tree: Path, at: str = "") -> list[str]:
    """bwrap's options that show the programs and libraries of `tree` at path `at`; links stand in for what it lacks.

    Releases before the merge of / and /usr have directories of their own for what others have below /usr.
    """
    options = ["--ro-bind", str(tree / "usr"), f"{at}/usr"]
    for name in ("bin", "sbin", "lib", "lib64"):
        if (tree / name).is_dir() and not (tree / name).is_symlink():
            options += ["--ro-bind", str(tree / name), f"{at}/{name}"]
        else:
            options += ["--symlink", f"usr/{name}", f"{at}/{name}"]
    return options


def install(programs: tuple[Program, ...], tree: Path, into: Path) -> list[str]:
    """Write links and scripts for `programs` into `into`; bwrap's options that show them and all that they need."""
    into.mkdir()
    trees = list(dict.fromkeys(program.tree for program in programs if program.tree != tree))
    shown = {program.beside for program in programs} - {None}
    options: list[str] = []
    for number, other in enumerate(trees):
        options += tree_options(other, f"{_TREES}/{number}")
    for directory in sorted(map(str, shown)):
        options += ["--ro-bind", directory, directory]
    for program in programs:
        replaced = program.name.startswith("qemu-system") and program.tree != tree and program.modules
        if replaced and (tree / program.modules).is_dir():
            # it looks for modules there, too, and aborts at those of another build (QEMU 10.0, ui-opengl.so)
            options += ["--ro-bind", str(program.tree / program.modules), f"/{program.modules}"]
        file = into / program.name
        if program.tree == tree:
            file.symlink_to(program.path)
        else:
            file.write_text(f"#!/chainproof/busybox sh\n{program.script(trees.index(program.tree))}\n")
            file.chmod(0o755)
        if program.at:
            options += ["--ro-bind", str(file), program.at]
    return [*options, "--ro-bind", str(into), DIRECTORY]
