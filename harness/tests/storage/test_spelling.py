"""One room spells images: no other one has a format's name, or libvirt's type of a store, in a text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("acts", "oracle", "run", "stack", "trial", "vm")
SPELT = re.compile(r"^qcow2$|^raw$|\.qcow2|<(disk|driver|backingStore|mirror)[^>]* type=|<source (file|dev|protocol)")
ALLOWED = {"oracle/image.py"}
"""Where the formats are, with their names."""


def texts(tree: ast.Module) -> Iterator[str]:
    """Every text of a module but for its docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and _has_doc(node.body)}  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def _has_doc(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[0], ast.Expr)


def spelt(tree: ast.Module) -> list[str]:
    return [text for text in texts(tree) if SPELT.search(text)]


def test_no_other_room_spells_an_image() -> None:
    files = (file for room in ROOMS for file in (ROOT / room).rglob("*.py"))
    named = {str(file.relative_to(ROOT)): spelt(ast.parse(file.read_text())) for file in files}

    assert {name: found for name, found in named.items() if found and name not in ALLOWED} == {}


def test_one_that_does_is_found() -> None:
    assert spelt(ast.parse('"""qcow2"""\nform = "qcow2"\npath = f"{name}.qcow2"')) == ["qcow2", ".qcow2"]
