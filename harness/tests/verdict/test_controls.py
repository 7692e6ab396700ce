"""Every universal check has a control that has seen it fail, and every control is of a check that there is."""

from __future__ import annotations

import ast
from pathlib import Path

from harness.verdict.checks import CHECKS

CONTROLS = Path(__file__).resolve().parents[3] / "scenarios/negative_control"


def dictionary(name: str) -> dict[str, ast.expr]:
    """The dictionary of this name in test_every_check.py."""
    for node in ast.parse((CONTROLS / "test_every_check.py").read_text()).body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            value = getattr(node, "value", None)
            assert isinstance(value, ast.Dict)
            return {ast.literal_eval(key): item for key, item in zip(value.keys, value.values, strict=True) if key}
    raise AssertionError(f"there is no {name}")


def test_every_check_has_one() -> None:
    controlled = {*dictionary("CONTROLS"), *dictionary("ELSEWHERE")}

    assert {check.name for check in CHECKS} == controlled


def test_those_that_are_elsewhere_are_there_and_name_the_check() -> None:
    tests = {
        node.name: ast.unparse(node)
        for file in CONTROLS.glob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    for check, test in dictionary("ELSEWHERE").items():
        assert check in tests[ast.literal_eval(test)]


def test_no_two_checks_have_one_name_and_each_states_an_invariant() -> None:
    names = [check.name for check in CHECKS]

    assert len(set(names)) == len(names)
    assert all(check.invariant.startswith("O") for check in CHECKS)
