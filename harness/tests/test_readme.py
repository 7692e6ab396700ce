"""The README's example is a scenario that runs, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

from harness.stack.kinds import PIECES, sets

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_the_example_is_the_scenario_word_for_word() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert example in (ROOT / "scenarios/procedure/test_through_the_api.py").read_text()


def test_every_option_that_it_names_exists_and_none_is_forgotten() -> None:
    first_columns = re.findall(r"^\| (`--[^|]+)\|", README.replace(r"\|", "/"), re.MULTILINE)
    named = {option for column in first_columns for option in re.findall(r"--[a-z-]+", column)}
    files = [ROOT / "conftest.py", *(ROOT / "harness/run").glob("*.py")]
    known = {option for file in files for option in re.findall(r'\badd(?:option)?\(\s*"(--[a-z-]+)"', file.read_text())}
    assert named == known | {f"--{piece}" for piece in PIECES}


def test_every_verb_that_it_names_exists() -> None:
    verbs = set(re.findall(r"ci/run ([a-z]+)", README))
    known = set(re.findall(r"^    ([a-z |-]+)\)", (ROOT / "ci/run").read_text(), re.MULTILINE))
    assert verbs <= {verb.strip() for group in known for verb in group.split("|")}


def test_every_set_of_stacks_that_it_names_exists() -> None:
    assert set(re.findall(r"ci/run matrix ([a-z-]+)", README)) <= {"host", *sets(ROOT / "ci/stacks.toml")}


def test_it_stays_short() -> None:
    assert len(README.splitlines()) < 200
