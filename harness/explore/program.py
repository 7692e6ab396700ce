"""A program: a small world, the acts in it, and how it ends; it prints as words, as a scenario, as data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from harness.acts.act import Act, Data, read, read_value, write_value
from harness.explore.universe import Universe, started
from harness.oracle.state import State

_VALUES = {
    "pathlib": ("PurePosixPath",),
    "harness.oracle.driver": ("Driver",),
    "harness.oracle.geometry": ("Geometry",),
    "harness.oracle.image": ("Block", "File", "Fuse", "Nbd", "Qcow2", "Raw"),
}
"""Where the values come from that acts have."""


@dataclass(frozen=True)
class Program:
    """What is done: the world, the acts in it, and whether QEMU is `killed` at the end.

    If it is, nothing flushes before it looks. Otherwise images are read after every step, and the VM is shut off
    politely.
    """

    universe: Universe
    acts: tuple[Act, ...]
    killed: bool = False

    def __str__(self) -> str:
        """In words, a line for each act."""
        state = started(self.universe)
        chains = "; ".join(f"{target}: {' <- '.join(c.chain())}" for target, c in state.vm("vm1").known.items())
        end = "QEMU is killed" if self.killed else "what is on is ended politely"
        lines = [f"{chains} ({self.universe!r})", *(f"{number}. {act}" for number, act in enumerate(self.acts, 1))]
        return "\n".join([*lines, f"{end}, and all is looked at"])

    def data(self) -> Data:
        """As JSON has it; `read_program` is the reverse."""
        return {
            "universe": {field.name: write_value(getattr(self.universe, field.name)) for field in fields(Universe)},
            "acts": [act.data() for act in self.acts],
            "killed": self.killed,
        }

    def as_json(self) -> str:
        """As JSON text."""
        return json.dumps(self.data(), indent=1) + "\n"

    def as_scenario(self, claim: str) -> str:
        """The text of a scenario file that does the same; `claim` is what did not hold."""
        used = {type(act) for act in (*self.universe.set_up(), *self.acts)}
        modules: dict[str, set[str]] = {}
        for act in sorted(used, key=lambda kind: kind.__name__):
            modules.setdefault(act.__module__, set()).add(act.__name__)
        imports = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(modules.items())]
        spelt = "\n".join(map(repr, (*self.universe.set_up(), *self.acts)))
        for module, values in _VALUES.items():
            if names := [value for value in values if re.search(rf"\b{value}\(", spelt)]:
                imports.append(f"from {module} import {', '.join(names)}")
        imports.append("from harness.trial.trial import Trial")
        marks = ["@pytest.mark.encrypted"] if self.universe.format.secret else []
        lines = [f"        {act!r}," for act in (*self.universe.set_up(), *self.acts)]
        return "\n".join(
            [
                '"""A walk found this."""',
                "",
                "from __future__ import annotations",
                "",
                *(["import pytest", ""] if marks else []),
                *imports,
                "",
                "",
                *marks,
                "def test_found_by_a_walk(trial: Trial) -> None:",
                f'    """{_in_docstring(claim)}"""',
                "    trial.do(",
                *lines,
                "    )",
                "",
                '    trial.verify("the end")',
                "",
            ]
        )


def _in_docstring(text: str) -> str:
    return text.replace("\\", "/").replace('"', "'")


def read_program(data: Mapping[str, object]) -> Program:
    """The program that was written as `data`. Raises ValueError if it is none."""
    acts, world = data.get("acts"), data.get("universe")
    if not isinstance(acts, list) or not isinstance(world, Mapping):
        raise ValueError(f"that is no program: {data}")
    try:
        universe = Universe(**{str(name): read_value(value) for name, value in world.items()})  # type: ignore[arg-type]
    except (TypeError, KeyError) as error:
        raise ValueError(f"that is no world to explore: {world}") from error
    return Program(universe, tuple(map(read, acts)), bool(data.get("killed")))


def states(program: Program) -> list[State]:
    """The state before each act, and the one after the last."""
    found = [started(program.universe)]
    for act in program.acts:
        found.append(act.after(found[-1]))
    return found
