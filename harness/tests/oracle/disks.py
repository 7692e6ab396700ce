"""The seed's disk, and random sequences of operations on one."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.image import Format, Qcow2, Raw


def seed_at_t0() -> Content:
    """Base <- sn1 <- sn2 <- cur, as in the documented procedure."""
    disk = Content.new("base").write("A", range(4))
    disk = disk.snapshot("sn1").write("B", range(2, 6))
    disk = disk.snapshot("sn2").write("C", range(5, 9))
    return disk.snapshot("cur").write("D", (0, 8, 9))


SMALL = Geometry(cells=4, cell_size=16384, part_size=4096)
CLUSTERS = (Qcow2(4096), Qcow2(8192), Qcow2(32768))
CUT_SHORT = Geometry(cells=3, cell_size=16384, part_size=4096)
"""Of clusters of 32 KiB the last one is cut short."""


@dataclass(frozen=True)
class Act:
    """What a guest or host does next: an operation and the parts that it touches, if it takes any."""

    name: str
    ranges: tuple[tuple[int, int], ...] = ()
    label: str = "A"


def ranges(geometry: Geometry) -> st.SearchStrategy[tuple[tuple[int, int], ...]]:
    """One stretch of parts."""
    size, parts = geometry.part_size, geometry.parts
    one = st.tuples(st.integers(0, parts - 1), st.integers(1, parts)).map(
        lambda pair: (pair[0] * size, min(pair[1], parts - pair[0]) * size)
    )
    return one.map(lambda stretch: (stretch,))


def guest_acts(geometry: Geometry) -> st.SearchStrategy[Act]:
    """Writes, zeros and discards."""
    return st.builds(
        Act,
        st.sampled_from(["write", "write", "zero", "discard"]),
        ranges(geometry),
        st.sampled_from("ABCDEFGH"),
    )


def done(disk: Content, act: Act) -> Content:
    """The disk after one act of the guest."""
    match act.name:
        case "write":
            return disk.write(act.label, ranges=act.ranges)
        case "zero":
            return disk.zero(ranges=act.ranges)
        case "discard":
            return disk.discard(ranges=act.ranges)
        case _:
            raise ValueError(act.name)


@st.composite
def disks(draw: st.DrawFn, least: int = 1, most: int = 4, *, mixed: bool = False) -> Content:
    """A disk of `least` to `most` layers, on each of which the guest did something; `mixed`: of several formats."""
    geometry = draw(st.sampled_from((SMALL, CUT_SHORT)))
    choice: tuple[Format, ...] = (*CLUSTERS, Raw()) if mixed else (draw(st.sampled_from(CLUSTERS)),)
    forms = st.sampled_from(choice)
    disk = Content.new("l0", geometry, draw(forms))
    for number in range(draw(st.integers(least, most))):
        if number:
            disk = disk.snapshot(f"l{number}", draw(forms.filter(lambda form: form.has_metadata)))
        for act in draw(st.lists(guest_acts(geometry), max_size=3)):
            disk = done(disk, act)
    return disk
