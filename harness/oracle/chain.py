"""A backing chain as a value: the names of its images; it prints as `base <- sn1 <- sn2 <- cur`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Chain:
    """A backing chain by the names of its images: at least one, base first, the active layer last, none twice."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("a chain has one image at least")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"an image is twice in the chain {self}")

    @classmethod
    def named(cls, *names: str) -> Chain:
        """The chain of the images with these names, base first."""
        return cls(names)

    @property
    def base(self) -> str:
        """The image with no backing file."""
        return self.names[0]

    @property
    def active(self) -> str:
        """The image that the guest writes to."""
        return self.names[-1]

    def __iter__(self) -> Iterator[str]:
        """Base first."""
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __str__(self) -> str:
        return " <- ".join(self.names)

    def __repr__(self) -> str:
        """As `str`: this is what pytest prints when an assertion on chains fails."""
        return str(self)

    def up_to(self, name: str) -> Chain:
        """The chain from the base to `name`, both included. Raises ValueError if it is not in it."""
        if name not in self.names:
            raise ValueError(f"{name} is not in the chain {self}")
        return Chain(self.names[: self.names.index(name) + 1])

    def with_overlay(self, overlay: str) -> Chain:
        """The chain after a snapshot: `overlay` is the active layer."""
        return Chain((*self.names, overlay))

    def difference(self, expected: Chain) -> str:
        """In what this chain, as seen, is not the `expected` one: a few lines; "" if it is."""
        if self == expected:
            return ""
        lines = [f"chain is  {self}", f"expected  {expected}"]
        extra = [name for name in self if name not in expected]
        missing = [name for name in expected if name not in self]
        if extra:
            lines.append(f"still there: {_listed(extra)}")
        if missing:
            lines.append(f"missing: {_listed(missing)}")
        if not extra and not missing:
            lines.append("the same images in another order")
        return "\n".join(lines)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
