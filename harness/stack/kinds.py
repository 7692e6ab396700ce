"""From a stack's name to the stack: host, debian:SUITE, dir:PATH, build:PREFIX,PREFIX; each with + changes."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import Unusable
from harness.stack.programs import Program
from harness.stack.stack import LIBVIRTD, QEMU, QEMU_IMG, VIRSH, Stack
from harness.stack.trees import Trees

SHORT = "use host, debian:SUITE, dir:PATH, build:LIBVIRT_PREFIX,QEMU_PREFIX or a set; more: ci/run stacks help"
HELP = (
    "host, debian:SUITE, dir:PATH or build:LIBVIRT_PREFIX,QEMU_PREFIX (a SUITE as it was: SUITE@20260131T000000Z),"
    " with any of +libvirtd= +virsh= +qemu= +qemu-img= after it: a path, or the stack to take it from;"
    " +upgrade-to=NAME at the end: the stack whose libvirt takes over the running VMs"
)
UPGRADE = "+upgrade-to="
# the names of the pieces in options and in stacks' names
PIECES = {"libvirtd": LIBVIRTD, "virsh": VIRSH, "qemu": QEMU, "qemu-img": QEMU_IMG}
_SUITE = re.compile(r"[a-z]+(-[a-z]+)*(@\d{8}T\d{6}Z)?")
_KIND = re.compile(rf"host|debian:{_SUITE.pattern}|dir:.+|build:[^,]+,[^,]+")
_LIKE_A_CHANGE = re.compile(r"\+[a-z-]+=")
_CHANGE = re.compile(rf"\+({'|'.join(PIECES)})=")


class Kinds:
    """Makes stacks; trees are kept in `trees`, and programs print their versions in a sandbox below `work`."""

    def __init__(self, trees: Path, work: Path) -> None:
        self.trees = Trees(trees)
        self._work = work

    def stack(self, name: str, *, anew: bool = False) -> Stack:
        """The stack of this name; `anew` builds its tree whatever is there.

        Raises Unusable, naming the stack, if there can be none.
        """
        older, upgrade, newer = name.partition(UPGRADE)
        if upgrade:
            if UPGRADE in newer:
                raise Unusable(f"{name}: one upgrade at a time")
            stack = self.stack(older, anew=anew)
            return replace(stack, newer=stack.upgraded(self.stack(newer, anew=anew), self._work))
        base, *changes = _CHANGE.split(name)
        stack = self._base(base, anew=anew)
        if not changes:
            return stack
        pieces = {PIECES[piece]: value for piece, value in zip(changes[::2], changes[1::2], strict=True)}
        try:
            programs = {program: self._program(program, value) for program, value in pieces.items()}
            return stack.with_programs(name, programs, self._work)
        except Unusable as error:
            raise Unusable(f"{name}: {error.problem.removeprefix(f'{name}: ')}", error.remedy, error.detail) from error

    def _base(self, name: str, *, anew: bool = False) -> Stack:
        kind, _, value = name.partition(":")
        if name == "host":
            return Stack.host()
        if kind == "debian" and _SUITE.fullmatch(value):
            tree = self.trees.provide(value, anew=anew)
            provenance = f"Debian's {value}, unpacked {tree.built}, tree {tree.digest}"
            return Stack.in_tree(name, self.trees.unpacked(tree), self._work, tree.packages, provenance)
        if kind == "dir" and value:
            directory = Path(value).resolve()
            if not (directory / "usr").is_dir():
                raise Unusable(f"{name}: there is no file system tree (no {directory}/usr)")
            return Stack.in_tree(name, directory, self._work)
        if kind == "build" and value.count(",") == 1:
            libvirt, qemu = value.split(",")
            changes = f"+libvirtd={libvirt}/sbin/libvirtd+virsh={libvirt}/bin/virsh"
            return self.stack(f"host{changes}+qemu={qemu}/bin/qemu-system-x86_64+qemu-img={qemu}/bin/qemu-img")
        raise Unusable(f"{name}: there is no such kind of stack", SHORT)

    def _program(self, program: str, value: str) -> Program:
        """What a name's `+PROGRAM=` stands for: a file of this machine, or the program of another stack."""
        if "/" in value and ":" not in value:
            return Program(program, Path(value).resolve())
        return self._base(value).program(program)


def refuse_unreadable(names: Sequence[str], file: Path) -> None:
    """Raise Unusable, with a line for each, if some of these names (of stacks, or of sets in `file`) mean nothing.

    A name that means something can still be of a stack that cannot be had.
    """
    defined = sets(file)
    wrong = [(name, part) for name in expanded(names, file) for part in _unreadable(name)]
    if wrong:
        known = ["host", *defined, *(stack for stacks in defined.values() for stack in stacks)]
        raise Unusable("\n".join(_unknown(name, part, known) for name, part in dict.fromkeys(wrong)))


def _unreadable(name: str) -> Iterator[str]:
    """The parts of a stack's name that mean nothing."""
    older, *newer = name.split(UPGRADE)
    if len(newer) > 1:
        yield f"{UPGRADE}{newer[-1]}"
    for whole in (older, *newer[:1]):
        base, *changes = _CHANGE.split(whole)
        stacks = [base, *(value for value in changes[1::2] if "/" not in value or ":" in value)]
        yield from (stack for stack in stacks if not _KIND.fullmatch(stack))
        yield from (part for part in (base, *changes[1::2]) if _LIKE_A_CHANGE.search(part))


def _unknown(name: str, part: str, known: Sequence[str]) -> str:
    """The line about a part of a name that means nothing, with what may have been meant."""
    close = difflib.get_close_matches(part, sorted(set(known)), n=2)
    of = "" if part == name else f" in {name}"
    if _LIKE_A_CHANGE.search(part):
        return f"{part}{of}: what can be changed is {', '.join(f'+{piece}=' for piece in PIECES)} and {UPGRADE}, once"
    return f"{part}{of}: there is no such kind of stack; " + (f"did you mean {' or '.join(close)}?" if close else SHORT)


def expanded(names: Sequence[str], file: Path) -> list[str]:
    """`names` with the names of sets, which `file` defines, replaced by what is in them; each stack once."""
    defined = sets(file)
    return list(dict.fromkeys(stack for name in names for stack in defined.get(name, [name])))


def sets(file: Path) -> dict[str, list[str]]:
    """The named sets of stacks that a file defines."""
    return {str(name): [str(stack) for stack in stacks] for name, stacks in tomllib.loads(file.read_text()).items()}


def changed(name: str, pieces: Mapping[str, Path | None]) -> str:
    """The name of stack `name` with these pieces (by PIECES' names) replaced."""
    older, upgrade, newer = name.partition(UPGRADE)
    changes = "".join(f"+{piece}={path.absolute()}" for piece, path in pieces.items() if path is not None)
    return f"{older}{changes}{upgrade}{newer}"


def upgraded(names: Sequence[str], to: Sequence[str]) -> list[str]:
    """`names`, and those among them that name no upgrade once more for each stack in `to`, upgraded to it."""
    plain = [name for name in names if UPGRADE not in name]
    return list(dict.fromkeys([*names, *(f"{name}{UPGRADE}{newer}" for name in plain for newer in to)]))
