"""Images and backing chains as values; a chain prints as `base <- sn1 <- sn2 <- cur`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Image:
    """An image file: its name in tables, and its path as the stack under test sees it."""

    name: str
    path: PurePosixPath

    @classmethod
    def at(cls, path: PurePosixPath | str) -> Image:
        """The image at `path`, named after the file without its last suffix."""
        where = PurePosixPath(path)
        return cls(where.stem, where)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Chain:
    """A backing chain: at least one image, base first, the active layer last, none of them twice."""

    images: tuple[Image, ...]

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("a chain has one image at least")
        paths = [image.path for image in self.images]
        if len(set(paths)) != len(paths):
            raise ValueError(f"an image is twice in the chain {self}")

    @classmethod
    def of(cls, *images: Image) -> Chain:
        """The chain of `images`, base first."""
        return cls(images)

    @property
    def base(self) -> Image:
        """The image with no backing file."""
        return self.images[0]

    @property
    def active(self) -> Image:
        """The image that the guest writes to."""
        return self.images[-1]

    def __iter__(self) -> Iterator[Image]:
        """Base first."""
        return iter(self.images)

    def __len__(self) -> int:
        return len(self.images)

    def __contains__(self, image: object) -> bool:
        return image in self.images

    def __str__(self) -> str:
        return " <- ".join(image.name for image in self.images)

    def __repr__(self) -> str:
        """As `str`: this is what pytest prints when an assertion on chains fails."""
        return str(self)

    def with_overlay(self, overlay: Image) -> Chain:
        """The chain after a snapshot: `overlay` is the active layer."""
        return Chain((*self.images, overlay))

    def without(self, *images: Image) -> Chain:
        """The chain without `images`. Raises ValueError if one of them is not in it, or if none would be left."""
        self._require(images)
        return Chain(tuple(image for image in self.images if image not in images))

    def up_to(self, image: Image) -> Chain:
        """The chain from the base to `image`, both included. Raises ValueError if `image` is not in it."""
        self._require((image,))
        return Chain(self.images[: self.images.index(image) + 1])

    def above(self, image: Image) -> tuple[Image, ...]:
        """The images above `image`, lowest first. Raises ValueError if `image` is not in the chain."""
        self._require((image,))
        return self.images[self.images.index(image) + 1 :]

    def difference(self, expected: Chain) -> str:
        """In what this chain, as seen, is not the `expected` one: a few lines; "" if it is."""
        if self == expected:
            return ""
        lines = [f"chain is  {self}", f"expected  {expected}"]
        extra = [image for image in self if image not in expected]
        missing = [image for image in expected if image not in self]
        if extra:
            lines.append(f"still there: {_files(extra)}")
        if missing:
            lines.append(f"missing: {_files(missing)}")
        if not extra and not missing:
            lines.append("the same images in another order")
        return "\n".join(lines)

    def _require(self, images: Iterable[Image]) -> None:
        for image in images:
            if image not in self.images:
                raise ValueError(f"{image} is not in the chain {self}")


def _files(images: Iterable[Image]) -> str:
    return ", ".join(image.path.name for image in images)
