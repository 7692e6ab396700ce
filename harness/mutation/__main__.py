"""`ci/run mutants [PATH...]`: changes the oracle, or what is named, in each way that the tool knows; runs the tests.

Exit status 0 if every mutant was killed or is known to be equivalent, else 1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.mutation.mutants import Fate, fates, summary
from harness.mutation.tree import lay_out
from harness.process import NOWHERE, end, run, spawn, wait
from harness.settings import default_cache

_TOOL = str(Path(sys.executable).with_name("mutmut"))
_LONGEST = 12 * 3600.0  # seconds


def main(arguments: Sequence[str]) -> int:
    """Make the mutants of what the paths name, run the tests of each, and say what became of them."""
    tree = default_cache().mutants
    try:
        lay_out(tree, arguments or ["harness/oracle"])
    except ValueError as error:
        print(f"ci/run: {error}", file=sys.stderr)
        return 2
    log = tree / "mutmut.log"
    print(f"the tool's own words: {log}", flush=True)
    with log.open("wb") as words:
        command = [_TOOL, "run", "--max-children", str(os.cpu_count() or 1)]
        child = spawn(command, directory=tree, stdin=NOWHERE, stdout=words, stderr=words)
        try:
            wait(child, "the tool to end", timeout=_LONGEST)
        finally:
            end(child, timeout=20)
    found = list(fates(tree, lambda name: run([_TOOL, "show", name], timeout=60, directory=tree).stdout))
    if not found:
        print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
        return 1
    print("\n".join(summary(found)))
    return 0 if all(fate in (Fate.KILLED, Fate.SLOW, Fate.EQUIVALENT) for _, fate, _ in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
