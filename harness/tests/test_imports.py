"""The house's floors: imports go down, never up or round, and one room knows pytest."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = (
    ("errors", "waiting", "process"),
    ("settings", "keeping", "oracle"),
    ("storage",),  # spells images: pure, so acts and readers stand on it
    ("acts", "journal"),
    ("readers",),
    ("crash",),
    ("stack",),
    ("vm",),
    ("trial",),
    ("verdict",),
    ("detect", "explore", "report"),
    ("run",),
    ("bench", "doctor", "mutation", "stacks"),
    ("tests",),
)
"""harness/, from the lowest floor to the highest; rooms of one floor do not import each other, but on the first."""
WITH_PYTEST = ("run", "tests")
LINES_OF_CONFTEST = 120


def module_names() -> dict[str, Path]:
    files = (ROOT / "harness").rglob("*.py")
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imported(tree: ast.AST) -> Iterator[str]:
    """What is imported anywhere in a module, also for types alone; of `from x import y` both x and x.y."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows() -> dict[str, set[str]]:
    """Every module of the harness, and those of the harness that it imports."""
    names = module_names()
    return {
        name: {other for other in imported(ast.parse(file.read_text())) if other in names and other != name}
        for name, file in names.items()
    }


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def floor(module: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room(module) in rooms)


def upward(found: dict[str, set[str]]) -> list[str]:
    """The imports that do not go down; within a room, and among the lowest, they may."""
    return sorted(
        f"{name} imports {other}"
        for name, others in found.items()
        for other in others
        if room(name) and room(other) and room(name) != room(other) and floor(other) >= max(floor(name), 1)
    )


def circle(found: dict[str, set[str]]) -> str:
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return ""


def test_every_room_is_on_a_floor() -> None:
    assert {room(name) for name in module_names()} - {""} == {name for rooms in FLOORS for name in rooms}


def test_no_import_goes_up() -> None:
    assert upward(arrows()) == []


def test_no_imports_go_round() -> None:
    assert (
        circle({name: {other for other in others if other.count(".") > 1} for name, others in arrows().items()}) == ""
    )


def test_one_room_knows_pytest() -> None:
    knowing = {
        room(name)
        for name, file in module_names().items()
        if any(other.partition(".")[0] in ("pytest", "_pytest") for other in imported(ast.parse(file.read_text())))
    }
    assert knowing == set(WITH_PYTEST)


def test_nobody_imports_what_is_private_to_others() -> None:
    files = [*module_names().values(), ROOT / "conftest.py", *(ROOT / "scenarios").rglob("*.py")]
    private = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in files
        for name in imported(ast.parse(file.read_text()))
        if any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
    ]
    assert private == []


def test_conftest_is_a_table_of_options_and_fixtures() -> None:
    assert len((ROOT / "conftest.py").read_text().splitlines()) <= LINES_OF_CONFTEST


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"harness.oracle.chain": {"harness.vm.domain"}}, ["harness.oracle.chain imports harness.vm.domain"]),
        (
            {"harness.report.matrix": {"harness.detect.sabotage"}},
            ["harness.report.matrix imports harness.detect.sabotage"],
        ),
        ({"harness.vm.domain": {"harness.oracle.chain", "harness.vm.agent"}}, []),
    ],
)
def test_an_import_that_goes_up_is_found(found: dict[str, set[str]], expected: list[str]) -> None:
    assert upward(found) == expected


def test_a_circle_is_found() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}).split(" <- ")) == {"a", "b", "c"}
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == ""
