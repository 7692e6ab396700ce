"""The tree that mutants live in: a copy of the checkout, with the tool's settings; the checkout is never touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("conftest.py", "harness", "images", "scenarios", "ci", "pyproject.toml", "README.md", "CHANGELOG.md")
TESTS = {
    "harness/oracle": (
        *(
            f"harness/tests/oracle/test_{name}.py"
            for name in (
                "edges",
                "layer",
                "copied",
                "mirrored",
                "asked_of_jobs",
                "compressed",
                "table_words",
                "refusals",
                "state",
                "content",
                "pattern",
                "chain",
                "table",
                "geometry",
            )
        ),
        *("harness/tests/acts/test_acts.py", "harness/tests/trial", "harness/tests/verdict"),
    ),
    "harness/verdict": ("harness/tests/verdict", "harness/tests/trial", "harness/tests/stack/test_offers_and_bugs.py"),
}
"""By what is mutated: the tests that are to notice, all of them without a VM, none of them about the source itself."""
_SECONDS, _TIMES = 10.0, 8.0  # what the tests of a mutant may take besides, and how many times as long as usual
# Fewer examples than a run of the tests itself has, and the same ones for each mutant: a mutant that lives with these
# is looked at, and one that is killed is killed for good.
_EXAMPLES = """

from hypothesis import settings  # noqa: E402

settings.register_profile("mutation", max_examples=10, derandomize=True, database=None, deadline=None)
settings.load_profile("mutation")
"""


def lay_out(tree: Path, paths: Sequence[str]) -> None:
    """Make the tree anew, to mutate what of the checkout lies at `paths`. Raises ValueError for one without tests."""
    tests = list(dict.fromkeys(test for path in paths for test in _tests_of(path)))
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    with (tree / "conftest.py").open("a") as file:
        file.write(_EXAMPLES)
    with (tree / "pyproject.toml").open("a") as file:
        file.write(_settings(paths, tests))


def _tests_of(path: str) -> Sequence[str]:
    for target, tests in TESTS.items():
        if path == target or path.startswith(f"{target}/"):
            return tests
    raise ValueError(f"{path} is not mutated: what is lies below {', '.join(TESTS)}")


def _settings(paths: Sequence[str], tests: Sequence[str]) -> str:
    values = {
        "source_paths": ["harness"],
        "only_mutate": [path if path.endswith(".py") else f"{path}/*" for path in paths],
        "also_copy": [name for name in _COPIED if name != "pyproject.toml"],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-p", "no:xdist"],
        "pytest_add_cli_args_test_selection": list(tests),
        "timeout_constant": _SECONDS,
        "timeout_multiplier": _TIMES,
        "use_git_change_detection": False,
        "track_dependencies": False,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]  # which TOML reads alike
    return "\n".join(["", "[tool.mutmut]", *lines, ""])
