"""What is under test: one libvirt and QEMU pair, with exact versions and where they come from."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import ChainproofError, Unusable
from harness.process import Completed, run
from harness.stack import programs
from harness.stack.programs import Program
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import Isolation, Sandbox
from harness.stack.version import Version

_INSTALL = "run: ci/run doctor"
_PATH = ("usr/sbin", "usr/bin", "sbin", "bin", "usr/libexec")
LIBVIRTD, VIRSH, QEMU, QEMU_IMG = PROGRAMS = ("libvirtd", "virsh", "qemu-system-x86_64", "qemu-img")
# which Debian package a program's version is that of
_PACKAGES = {LIBVIRTD: "libvirt-daemon", VIRSH: "libvirt-clients", QEMU: "qemu-system-x86", QEMU_IMG: "qemu-utils"}


# what each says it is by --version
_SAYS = {
    LIBVIRTD: re.compile(r"libvirtd \(libvirt\) (\d+\.\d+\.\d+)"),
    VIRSH: re.compile(r"^(\d+\.\d+\.\d+)$", re.MULTILINE),
    QEMU: re.compile(r"QEMU emulator version (\d+\.\d+\.\d+)"),
    QEMU_IMG: re.compile(r"qemu-img version (\d+\.\d+\.\d+)"),
}
_WHOLE = "pass a whole build (build:LIBVIRT_PREFIX,QEMU_PREFIX), a tree (dir:PATH) or a release (debian:SUITE)"
_STARTED = ("-machine", "q35,accel=tcg", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio")
_ASKED = '{"execute": "qmp_capabilities"}\n{"execute": "%s"}\n{"execute": "quit"}\n'


@dataclass(frozen=True)
class Stack:
    """A libvirt and QEMU pair: `tree` is the root of the file system tree whose /usr it runs on.

    `paths` are where its programs (PROGRAMS) are, as seen inside the sandbox. `replaced` are programs that stand in for
    the tree's own; `provenance` says in words where everything is from. `newer` is the stack that it is to be upgraded
    to while its VMs run: another libvirt with the same QEMU. `client_version`: of the virsh that replaces the stack's
    own, else None.
    """

    name: str
    tree: Path
    paths: Mapping[str, str]
    libvirt_version: Version
    qemu_version: Version
    provenance: str
    replaced: tuple[Program, ...] = ()
    newer: Stack | None = None
    client_version: Version | None = None

    @classmethod
    def host(cls, path: str = "/usr/sbin:/usr/bin:/sbin:/bin") -> Stack:
        """The pair that is installed on this machine, as `path` finds it. Raises Unusable if a program is missing."""
        found = {name: shutil.which(name, path=path) or "" for name in PROGRAMS}
        missing = [name for name, program in found.items() if not program]
        if missing:
            raise Unusable(f"not installed: {', '.join(missing)}", _INSTALL)
        libvirt, qemu = (
            Version(_said("host", name, run([found[name], "--version"], timeout=60)), _installed(name))
            for name in (LIBVIRTD, QEMU)
        )
        return cls("host", Path("/"), found, libvirt, qemu, "installed on this machine")

    @classmethod
    def in_tree(
        cls, name: str, tree: Path, work: Path, packages: Mapping[str, str] | None = None, provenance: str = ""
    ) -> Stack:
        """The pair in a file system tree, with the versions of its `packages` where they are known.

        Raises Unusable, naming the stack, if a program is missing there or does not run.
        """
        paths = {program: _found_in(tree, program) for program in PROGRAMS}
        missing = [program for program, path in paths.items() if not path]
        if missing:
            raise Unusable(f"{name}: there is no {', no '.join(missing)} in the tree {tree}")
        known = _packages_in(tree) if packages is None else packages
        unknown = Version("unknown")
        stack = cls(name, tree, paths, unknown, unknown, provenance or f"the tree {tree}")
        return stack.with_versions(work, {program: known.get(package, "") for program, package in _PACKAGES.items()})

    def with_programs(self, name: str, pieces: Mapping[str, Program], work: Path) -> Stack:
        """This stack under another name with some of its programs replaced, by PROGRAMS' names.

        The tree is always that of libvirtd: what the daemon loads is the largest part.
        """
        used = {**{program: self.program(program) for program in PROGRAMS}, **pieces}
        tree = used[LIBVIRTD].tree
        replaced = {*pieces, *(program.name for program in self.replaced)}
        instead = tuple(used[program] for program in PROGRAMS if program in replaced or used[program].tree != tree)
        # a QEMU that replaces the stack's has one path in every sandbox: running VMs name it
        moved = {program for program in PROGRAMS if used[program].tree != tree} | ({QEMU} & replaced)
        paths = {
            program: f"{programs.DIRECTORY}/{program}" if program in moved else str(piece.path)
            for program, piece in used.items()
        }
        origins = [f"{program}: {piece.origin}" for program, piece in pieces.items()]
        provenance = "; ".join([self.provenance, *origins])
        changed = replace(self, name=name, tree=tree, paths=paths, provenance=provenance, replaced=instead)
        return changed.with_versions(work, {program: piece.package for program, piece in used.items()})

    def upgraded(self, to: Stack, work: Path) -> Stack:
        """This stack with the libvirt of `to`, daemon and client; its QEMU stays what it is, and where it is."""
        pieces = {program: to.program(program) for program in (LIBVIRTD, VIRSH)}
        newer = self.with_programs(f"{self.name}+libvirtd={to.name}+virsh={to.name}", pieces, work)
        if newer.qemu == self.qemu:
            return newer
        kept = tuple(replace(piece, at=self.qemu) if piece.name == QEMU else piece for piece in newer.replaced)
        return replace(newer, paths={**newer.paths, QEMU: self.qemu}, replaced=kept)

    def program(self, name: str) -> Program:
        """One of PROGRAMS, as another stack can take it."""
        found = next((program for program in self.replaced if program.name == name), None)
        packages = {LIBVIRTD: self.libvirt_version.package, QEMU: self.qemu_version.package}
        return found or Program(name, Path(self.paths[name]), self.tree, packages.get(name, ""))

    def with_versions(self, work: Path, packages: Mapping[str, str]) -> Stack:
        """This stack with the versions that its programs tell when they are run in its sandbox, below `work`.

        `packages` has the package version of a program where there is one.
        """
        versions = {}
        others = [piece.name for piece in self.replaced if piece.name in (VIRSH, QEMU_IMG)]
        with Sandbox(RunDirectory(work), self.isolation()) as sandbox:
            for program in (LIBVIRTD, QEMU, *others):
                printed = _said(self.name, program, sandbox.run([self.paths[program], "--version"], timeout=60))
                versions[program] = Version(printed, packages.get(program, ""))
            if any(piece.name == QEMU for piece in self.replaced):
                self._start_qemu(sandbox)
        return replace(
            self, libvirt_version=versions[LIBVIRTD], qemu_version=versions[QEMU], client_version=versions.get(VIRSH)
        )

    def ask_qemu(self, sandbox: Sandbox, command: str) -> Completed:
        """Start the emulator without a machine, and have it answer a QMP command; it prints a JSON object a line."""
        return sandbox.run([self.qemu, *_STARTED], timeout=60, input_bytes=(_ASKED % command).encode())

    def _start_qemu(self, sandbox: Sandbox) -> None:
        """Raise Unusable unless the QEMU that was passed starts: a program out of a package lacks its modules."""
        done = self.ask_qemu(sandbox, "query-version")
        if done.exit_status != 0 or '"version"' not in done.stdout:
            words = (done.stderr.strip() or "it printed nothing").splitlines()[-1]
            raise Unusable(f"{self.name}: {self.program(QEMU).file} does not start as QEMU: {words}", _WHOLE)

    def isolation(self) -> Isolation:
        """The sandbox that shows this stack's programs and nothing else."""
        return Isolation(self.tree, programs=self.replaced)

    @property
    def libvirtd(self) -> str:
        """The daemon."""
        return self.paths[LIBVIRTD]

    @property
    def virsh(self) -> str:
        """The client."""
        return self.paths[VIRSH]

    @property
    def qemu(self) -> str:
        """The emulator."""
        return self.paths[QEMU]

    @property
    def versions(self) -> tuple[str, str]:
        """(libvirt, QEMU), with the package's version where there is one."""
        return str(self.libvirt_version), str(self.qemu_version)

    def __str__(self) -> str:
        libvirt, qemu = self.versions
        named = "" if self.name == "host" else f"{self.name}: "
        upgraded = f" upgraded to {self.newer.libvirt_version}" if self.newer else ""
        client = f", virsh {self.client_version}" if self.client_version else ""
        return f"{named}libvirt {libvirt}{upgraded}{client}, QEMU {qemu}"


def _said(stack: str, program: str, done: Completed) -> str:
    """The version in what a program printed of itself. Raises Unusable if it is not that program."""
    if done.exit_status != 0:
        words = (done.output.strip() or "it printed nothing").splitlines()[-1]
        raise Unusable(f"{stack}: {program} does not run (status {done.exit_status}): {words}", _WHOLE)
    found = _SAYS[program].search(done.stdout)
    if found is None:
        words = (done.stdout.strip() or "nothing").splitlines()[0]
        raise Unusable(f"{stack}: what was passed as {program} is something else: it prints {words!r}", _WHOLE)
    return found.group(1)


def _found_in(tree: Path, program: str) -> str:
    """Where a program is in a tree, as seen inside it; empty if it is not there."""
    return next((f"/{directory}/{program}" for directory in _PATH if (tree / directory / program).is_file()), "")


def _installed(program: str) -> str:
    """The version of the installed package that a program comes from; empty where dpkg does not know."""
    query = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Version}", _PACKAGES[program]]
    try:
        status, _, version = run(query, timeout=60).check().stdout.strip().rpartition(" ")
    except ChainproofError:
        return ""
    return version if status.startswith("ii") else ""


def _packages_in(tree: Path) -> dict[str, str]:
    """The packages that a tree's own dpkg database has."""
    try:
        text = (tree / "var/lib/dpkg/status").read_text()
    except OSError:
        return {}
    return dict(re.findall(r"^Package: (\S+)\n(?:[^\n]+\n)*?Version: (\S+)$", text, re.MULTILINE))
