"""How acts may be used: none is made and then forgotten, and nothing but the stage moves the oracle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.acts import (
    backup,
    chain,
    checkpoint,
    device,
    faults,
    guest,
    images,
    power,
    records,
    revert,
    saving,
    snapshot,
    storage,
)
from harness.acts.act import Act

ROOT = Path(__file__).resolve().parents[3]
STAGE = "harness/trial/stage.py"
ACTS = {
    name
    for module in (
        *(backup, chain, checkpoint, device, faults, guest, images, power, records, revert, saving, snapshot, storage),
    )
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Act) and value is not Act and not name.startswith("_")
}


def modules(*rooms: str) -> Iterator[tuple[str, ast.Module]]:
    for room in rooms:
        for file in sorted((ROOT / room).rglob("*.py")):
            yield str(file.relative_to(ROOT)), ast.parse(file.read_text())


def forgotten(tree: ast.Module) -> list[str]:
    """Acts that are made as a statement of their own: nobody does them."""
    calls = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    return [call.func.id for call in calls if isinstance(call.func, ast.Name) and call.func.id in ACTS]


def moves(tree: ast.Module) -> list[str]:
    """Assignments to an attribute that holds what must be true."""
    found = []
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else targets
        found += [ast.unparse(node) for target in targets if _is_oracle(target)]
    return found


def _is_oracle(target: ast.expr) -> bool:
    return isinstance(target, ast.Attribute) and target.attr in ("content", "state")


def test_no_act_is_made_and_forgotten() -> None:
    assert {name: found for name, tree in modules("scenarios", "harness") if (found := forgotten(tree))} == {}


def test_nothing_but_the_stage_moves_the_oracle() -> None:
    found = {name: moves(tree) for name, tree in modules("scenarios", "harness") if moves(tree)}

    assert set(found) == {STAGE}


@pytest.mark.parametrize(
    ("text", "found"),
    [("Pivot('vda')", ["Pivot"]), ("trial.do(Pivot('vda'))", []), ("act = Pivot('vda')", [])],
)
def test_one_that_is_forgotten_is_found(text: str, found: list[str]) -> None:
    assert forgotten(ast.parse(text)) == found


def test_a_move_behind_the_stage_is_found() -> None:
    assert moves(ast.parse("vda.content = other")) == ["vda.content = other"]
    assert moves(ast.parse("trial.stage.state = other")) == ["trial.stage.state = other"]
