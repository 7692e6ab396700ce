"""A run of pytest inside a scenario: for what can only be seen from outside one, as its exit status or its kill."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.process import NOWHERE, Child, Completed, dying_with_us, run, spawn

ROOT = Path(__file__).resolve().parents[2]
MARK = "CHAINPROOF_INNER_RUN"  # in the environment of a run and of all its processes, to know them by
SCENARIO = (
    "scenarios/commit/test_intermediate.py"
    "::test_an_intermediate_commit_drops_its_layers_and_nothing_that_the_guest_sees[sn1-base]"
)
"""One that is short: a boot, three snapshots, one job."""


def inner_run(
    *arguments: str, environment: Mapping[str, str] | None = None, within: Sequence[str] = (), timeout: float = 120
) -> Completed:
    """Run pytest with `arguments` to its end, as ci/run does; `within` comes before the command line."""
    return run([*within, *_command(arguments)], timeout=timeout, environment=_environment(environment), directory=ROOT)


def start_inner_run(*arguments: str, environment: Mapping[str, str] | None = None) -> Child:
    """Start pytest with `arguments`; who calls must end it, and it dies with the thread that calls."""
    return _start(_command(arguments), environment)


def start_victim(instant: str, seconds: float, work: Path, environment: Mapping[str, str]) -> Child:
    """Start a program that dies `seconds` after the beginning of `instant` (harness.detect.victim.INSTANTS)."""
    command = [sys.executable, "-m", "harness.detect.victim", instant, f"{seconds:.4f}", str(work)]
    return _start(command, environment)


def _start(command: Sequence[str], environment: Mapping[str, str] | None) -> Child:
    variables, quiet = _environment(environment), NOWHERE
    return spawn(dying_with_us(command), environment=variables, directory=ROOT, stdin=quiet, stdout=quiet, stderr=quiet)


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "harness.run", "scenarios", "-n", "0", "-p", "no:cacheprovider", *arguments]


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**kept, **(more or {})}
