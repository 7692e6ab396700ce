"""Mutants of the checks, which no test without a VM notices: a sample of them is shown to the saboteurs."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.detect.inner_run import SCENARIO
from harness.detect.saboteurs import ON_A_VM
from harness.errors import Unusable
from harness.mutation.mutants import Change, Fate, alive, change, codes
from harness.process import Completed, run
from harness.verdict.checks import CHECKS

_TEST = "scenarios/negative_control/test_saboteurs.py::test_it_is_noticed_by_what_is_meant_to"
_GREEN = (
    SCENARIO,
    "scenarios/procedure/test_through_the_api.py",
    "scenarios/cache/test_cache.py::test_jobs_keep_every_byte_however_the_disk_is_served[writethrough]",
    "scenarios/geometry/test_geometry.py::test_a_pull_keeps_every_byte_on_any_geometry[raw base with a tail]",
)
"""What nothing may be found wrong with: a check that cries wolf is noticed, too."""
_OF_MODULES = {"harness.verdict.explanation": ("scenarios/negative_control/test_hangs_and_failures.py",)}
"""What is to notice a mutant of a module besides the saboteurs of its checks."""
_SECONDS = 600.0
_FAILED = 1


def sampled(
    tree: Path, count: int, show: Callable[[str], str], seed: int = 0
) -> Iterator[tuple[str, Fate, Change | None]]:
    """What becomes of `count` mutants of checks that lived, or that no test calls, with the saboteurs of those checks.

    The tool must have run on the tree before. Raises Unusable if the scenarios fail without a mutant.
    """
    # None: the tool runs nothing at all where no test calls anything of what is mutated
    living = sorted(name for name, code in codes(tree).items() if code in (None, 0, 5, 33) and scenarios_for(name))
    chosen = random.Random(seed).sample(living, min(count, len(living)))
    scenarios = list(dict.fromkeys(scenario for name in chosen for scenario in scenarios_for(name)))
    unchanged = _run(tree, "none", scenarios)
    if unchanged.exit_status != 0:
        raise Unusable("the scenarios fail without a mutant, too", "see what they say", unchanged.output)
    for name in chosen:
        status = _run(tree, name, scenarios_for(name)).exit_status
        if status == _FAILED:
            yield name, Fate.KILLED, None
        else:
            what = change(name, show(name))
            yield name, alive(what) if status == 0 else Fate.UNKNOWN, what


def _run(tree: Path, mutant: str, scenarios: Sequence[str]) -> Completed:
    command = [sys.executable, "-m", "harness.run", "scenarios", "-n", "0", "-x", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "MUTANT_UNDER_TEST": mutant}
    return run([*command, *scenarios], timeout=_SECONDS, directory=tree / "mutants", environment=environment)


def scenarios_for(mutant: str) -> list[str]:
    """The scenarios that are to notice a mutant: the rows that are meant for the checks of its module; none if none."""
    module, _, function = mutant.rpartition(".")
    of_module = {check.name for check in CHECKS if check.look.__module__ == module}
    by_itself = {check.name for check in CHECKS if f".x_{check.look.__name__}__mutmut" in f".{function}"}
    checks = by_itself or of_module
    rows = [row.name for row in ON_A_VM if checks & set(row.meant)]
    tests = (*(f"{_TEST}[{name}]" for name in rows), *_OF_MODULES.get(module, ()))
    return [*tests, *_GREEN] if tests else []
