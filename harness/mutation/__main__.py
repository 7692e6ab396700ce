"""`ci/run mutants [--in-vms N] [PATH...]`: changes the oracle, or what is named, in each way that the tool knows.

The tests that need no VM are run on each; with `--in-vms`, saboteurs and scenarios are run on N of the mutants of
checks that lived. Exit status 0 if every mutant was killed, is known to be equivalent, or words a
message otherwise, else 1.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.mutation.in_vms import sampled
from harness.mutation.mutants import Fate, fates, summary
from harness.mutation.tree import lay_out
from harness.process import NOWHERE, end, run, spawn, wait
from harness.settings import default_cache

_TOOL = str(Path(sys.executable).with_name("mutmut"))
_NOTICED = (Fate.KILLED, Fate.SLOW, Fate.EQUIVALENT, Fate.WORDS)
_MEMORY = 3 << 30  # bytes, of each process
_LONGEST = 12 * 3600.0  # seconds


def main(arguments: Sequence[str]) -> int:
    """Make the mutants of what the paths name, run the tests of each, and say what became of them."""
    parser = argparse.ArgumentParser(prog="ci/run mutants", description="mutation of our own oracle and checks")
    parser.add_argument("--in-vms", type=int, default=0, metavar="N", help="show N that lived to saboteurs in VMs")
    parser.add_argument("paths", nargs="*", default=["harness/oracle"], help="what to mutate (harness/oracle)")
    options = parser.parse_args(arguments)
    tree = default_cache().mutants / options.paths[0].replace("/", "-")
    try:
        lay_out(tree, options.paths)
    except ValueError as error:
        parser.error(str(error))
    log = tree / "mutmut.log"
    print(f"the tool's own words: {log}", flush=True)
    _run_tool(tree, log)

    def show(name: str) -> str:
        return run([_TOOL, "show", name], timeout=60, directory=tree).stdout

    found = list(fates(tree, show))
    if not found:
        print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
        return 1
    print("\n".join(summary(found)), flush=True)
    if options.in_vms:
        found = list(sampled(tree, options.in_vms, show))
        print("with saboteurs, in VMs:\n" + "\n".join(summary(found)))
    return 0 if all(fate in _NOTICED for _, fate, _ in found) else 1


def _run_tool(tree: Path, log: Path) -> None:
    with log.open("wb") as words:
        limited = ["prlimit", f"--as={_MEMORY}"]  # a mutant may allocate without end
        command = [*limited, _TOOL, "run", "--max-children", str(os.cpu_count() or 1)]
        child = spawn(command, directory=tree, stdin=NOWHERE, stdout=words, stderr=words)
        try:
            wait(child, "the tool to end", timeout=_LONGEST)
        finally:
            end(child, timeout=20)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
