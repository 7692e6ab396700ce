"""The verbs that run tests: what is named is run, and no more."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from harness.process import Completed, run
from harness.run.command import BadCommand, pytest_arguments, remembering

ROOT = Path(__file__).resolve().parents[3]
PULL = "scenarios/pull/test_pull.py"


def collected(verb: str, *arguments: str) -> Completed:
    """What a verb would run, one id a line."""
    line = [sys.executable, "-m", "harness.run", verb, "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return run(line, timeout=120, environment=kept, directory=ROOT)


@pytest.mark.parametrize(
    "named", ["scenarios/pull", "./scenarios/pull", str(ROOT / "scenarios/pull"), f"./{PULL}", "scenarios/../" + PULL]
)
def test_what_is_named_in_any_way_is_run_and_no_more(named: str) -> None:
    done = collected("scenarios", "-n", "0", named)
    ids = [line for line in done.stdout.splitlines() if "::" in line]
    assert done.exit_status == 0, done.output
    assert ids
    assert all(each.startswith("scenarios/pull/") for each in ids)


def test_a_scenario_outside_the_checkout_has_our_fixtures_and_options(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_mine(trial, layered): pass\n")
    done = collected("scenarios", "-n", "0", "--stack", "host", str(tmp_path / "test_mine.py"))
    assert done.exit_status == 0, done.output
    assert "test_mine" in done.stdout
    assert "1 test collected" in done.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_path_that_is_not_there_runs_nothing(workers: str) -> None:
    done = collected("scenarios", "-n", workers, "scenarios/pull", "scenarios/nonsense")
    assert done.exit_status == 2
    assert "file or directory not found: scenarios/nonsense" in done.stderr


def test_without_a_name_a_verb_runs_what_it_is_for() -> None:
    assert "testpaths=harness/tests scenarios" in pytest_arguments("test", ["-x"])
    assert "testpaths=scenarios" in pytest_arguments("scenarios", [])
    assert "testpaths=harness/tests" in pytest_arguments("unit", [])


@pytest.mark.parametrize(
    ("rest", "stacks", "more"),
    [
        ([], ["default"], []),
        (["host", "debian:sid"], ["host", "debian:sid"], []),
        (["host", "--", "-k", "commit"], ["host"], ["-k", "commit"]),
        (["host", "-k", "commit"], ["host"], ["-k", "commit"]),
        (["--", "scenarios/pull"], ["default"], ["scenarios/pull"]),
    ],
)
def test_a_matrix_takes_names_and_then_options(rest: list[str], stacks: list[str], more: list[str]) -> None:
    arguments = pytest_arguments("matrix", rest)
    named = [value for option, value in pairwise(arguments) if option == "--stack"]
    assert named == stacks
    assert arguments[len(arguments) - len(more) :] == more


def test_a_comparison_needs_two() -> None:
    line = [sys.executable, "-m", "harness.run", "compare", "host"]
    done = run(line, timeout=60, directory=ROOT)
    assert (done.exit_status, done.stdout) == (2, "")
    assert "usage: ci/run compare BEFORE AFTER" in done.stderr


def test_what_is_no_verb_is_refused() -> None:
    with pytest.raises(BadCommand, match="there is no verb frobnicate"):
        pytest_arguments("frobnicate", [])


def test_a_checkout_of_somebody_else_has_its_cache_elsewhere_if_any() -> None:
    assert remembering(["-x"], None) == ["-x"]
    assert remembering(["-x"], "/a b") == ["-o", "cache_dir=/a b", "-x"]
    assert remembering(["-p", "no:cacheprovider"], "/a b") == ["-p", "no:cacheprovider"]


def test_usage_names_what_was_typed() -> None:
    done = collected("unit", "--frobnicate")
    assert done.exit_status == 2
    assert "ERROR: usage: ci/run unit [options]" in done.stderr
    assert "ci/run unit: error: unrecognized arguments: --frobnicate" in done.stderr
