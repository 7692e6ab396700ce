"""How a disk is divided: into cells for people, and parts for the oracle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SECTOR = 512

Range = tuple[int, int]
"""Offset and length in bytes on the virtual disk."""


@dataclass(frozen=True)
class Geometry:
    """Sizes in bytes; the virtual disk is `cells * cell_size` long, and `tail` more, which nobody writes to.

    A part is the smallest unit whose content is tracked. What is allocated together is a matter of each image's format,
    a whole number of parts.
    """

    cells: int = 12
    cell_size: int = 65536
    part_size: int = 4096
    tail: int = 0

    def __post_init__(self) -> None:
        if self.cells < 1:
            raise ValueError("a disk has one cell at least")
        if self.part_size < SECTOR or self.part_size % SECTOR:
            raise ValueError(f"the part size {self.part_size} is no multiple of {SECTOR}")
        if self.cell_size < 1 or self.cell_size % self.part_size:
            raise ValueError(f"the cell size {self.cell_size} is no multiple of the part size {self.part_size}")
        if self.tail < 0 or self.tail % SECTOR:
            raise ValueError(f"the tail of {self.tail} bytes is no multiple of {SECTOR}")

    @property
    def disk_size(self) -> int:
        """Bytes of the virtual disk."""
        return self.size + self.tail

    @property
    def size(self) -> int:
        """Bytes of all cells."""
        return self.cells * self.cell_size

    @property
    def parts(self) -> int:
        """Number of parts of the disk."""
        return self.size // self.part_size

    @property
    def parts_per_cell(self) -> int:
        """Number of parts of a cell."""
        return self.cell_size // self.part_size

    def cell_of(self, part: int) -> int:
        """The number of the cell that holds `part`."""
        return part // self.parts_per_cell

    def unit_around(self, part: int, size: int) -> range:
        """The parts of the unit of `size` bytes that holds `part` (the disk's last one may be cut short); 0: itself."""
        per_unit = size // self.part_size or 1
        start = part // per_unit * per_unit
        return range(start, min(start + per_unit, self.parts))

    def parts_of(self, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> frozenset[int]:
        """The parts of whole `cells` and of byte `ranges`.

        Raises ValueError if that is nothing, lies outside the disk, or is not made of whole parts.
        """
        wanted = [(cell * self.cell_size, self.cell_size) for cell in cells]
        parts: set[int] = set()
        for offset, length in [*wanted, *ranges]:
            if offset % self.part_size or length % self.part_size or length <= 0:
                raise ValueError(f"{length} bytes at {offset} are not whole parts of {self.part_size} bytes")
            if offset < 0 or offset + length > self.size:
                raise ValueError(f"{length} bytes at {offset} lie outside the disk of {self.size} bytes")
            parts.update(range(offset // self.part_size, (offset + length) // self.part_size))
        if not parts:
            raise ValueError("neither a cell nor a range of bytes was named")
        return frozenset(parts)

    def stretches(self, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> list[Range]:
        """The same as ranges of bytes, in order, none touching another; raises as `parts_of` does."""
        found: list[Range] = []
        for part in sorted(self.parts_of(cells, ranges)):
            start = part * self.part_size
            if found and sum(found[-1]) == start:
                found[-1] = (found[-1][0], found[-1][1] + self.part_size)
            else:
                found.append((start, self.part_size))
        return found
