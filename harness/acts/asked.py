"""A call of libvirt as it stands, which must be refused: what no other act can ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.acts.act import VM, Act
from harness.acts.calls import Argument, Libvirt
from harness.oracle.content import Impossible
from harness.oracle.state import State


@dataclass(frozen=True, repr=False)
class Ask(Act):
    """Call a function with these arguments and flags, whatever they are; a flag in digits is a number of its own."""

    function: str
    args: Mapping[str, Argument] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    xml: str = ""
    vm: str = VM

    def call(self, state: State) -> Libvirt:  # noqa: ARG002
        """It."""
        return Libvirt(self.function, self.vm, self.args, self.flags, self.xml)

    def after(self, state: State) -> State:  # noqa: ARG002
        """Never done."""
        raise Impossible(f"{self.function} is asked for what it must refuse")

    def __str__(self) -> str:
        words = [f"{name}={value}" for name, value in self.args.items()] + list(self.flags)
        return f"asks {self.function}({', '.join(words)})"
