"""`ci/run stacks`: which stacks are here; builds their trees beforehand, and removes what is no longer needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.errors import Unusable
from harness.settings import default_cache, default_work
from harness.stack import kinds
from harness.stack.kinds import Kinds
from harness.stack.rooted import stand_on_a_mount
from harness.stack.trees import Tree, Trees

USAGE = f"""\
usage: ci/run stacks list            the trees that are here, and the sets of ci/stacks.toml
       ci/run stacks build NAME...   build the trees of these stacks or sets anew, from what the mirror has now
       ci/run stacks prune           remove what no present tree needs

A stack is {kinds.HELP}.
"""
SETS = Path(__file__).resolve().parents[1] / "ci" / "stacks.toml"


def main(arguments: Sequence[str]) -> int:
    """Act on a command line; 2 for one that makes no sense, 1 if a stack could not be built."""
    verb, *names = arguments or ["help"]
    makes = Kinds(default_cache().trees, default_work())
    if verb == "list" and not names:
        for tree in makes.trees.known():
            print(_line(makes.trees, tree))
        for name, stacks in kinds.sets(SETS).items():
            print(f"{name}: {', '.join(stacks)}")
        return 0
    if verb == "prune" and not names:
        for removed in makes.trees.prune():
            print(f"removed {removed}")
        return 0
    if verb == "build" and names:
        parts = [part for name in kinds.expanded(names, SETS) for part in name.split(kinds.UPGRADE)]
        return max([_build(makes, name) for name in dict.fromkeys(parts)])
    print(USAGE, end="", file=sys.stdout if verb == "help" else sys.stderr)
    return 0 if verb == "help" else 2


def _build(makes: Kinds, name: str) -> int:
    try:
        print(makes.stack(name, anew=True), flush=True)
    except Unusable as error:
        print(str(error), file=sys.stderr, flush=True)
        return 1
    return 0


def _line(trees: Trees, tree: Tree) -> str:
    """A tree in a line: its versions, when it was built, what it takes packed."""
    versions = f"libvirt {tree.packages['libvirt-daemon']}, QEMU {tree.packages['qemu-system-x86']}"
    archive = trees.archive(tree)
    packed = f"{archive.stat().st_size >> 20} MiB packed" if archive.exists() else "not packed"
    return f"debian:{tree.suite}: {versions}, built {tree.built}, {packed}, tree {tree.digest}"


if __name__ == "__main__":
    stand_on_a_mount()
    sys.exit(main(sys.argv[1:]))
