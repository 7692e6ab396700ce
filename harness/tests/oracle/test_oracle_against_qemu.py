"""The oracle says what real QEMU does to real images: qemu-io is the guest, qemu-img the host, both offline."""

from __future__ import annotations

import random
from pathlib import Path, PurePosixPath

import pytest

from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.parts import ZERO
from harness.oracle.pattern import fill
from harness.oracle.table import Table, difference
from harness.process import run
from harness.readers.qemu_img import QemuImg
from harness.tests.oracle.tools import RUN, create, needs_qemu_img, qemu_img, qemu_io, reader_of

pytestmark = needs_qemu_img

GEOMETRIES = {
    "64k clusters": Geometry(cells=6, cell_size=65536, part_size=4096, cluster_size=65536),
    "4k clusters": Geometry(cells=8, cell_size=16384, part_size=4096, cluster_size=4096),
    "clusters larger than cells": Geometry(cells=10, cell_size=32768, part_size=4096, cluster_size=131072),
}


class RealDisk:
    """The same operations on images in `directory` and on the oracle, held against each other."""

    def __init__(self, directory: Path, geometry: Geometry, *options: str) -> None:
        self.directory = directory
        self.content = Content.new("l0", geometry)
        self.options = (f"cluster_size={geometry.cluster_size}", *options)
        create(self.path("l0"), str(geometry.size), *self.options)
        self.acts: list[str] = []

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.qcow2"

    def guest(self, chance: random.Random, count: int) -> None:
        """Random writes, zeros and discards of whole and partial cells, in one qemu-io."""
        geometry = self.content.geometry
        commands = []
        for number in range(count):
            start = chance.randrange(geometry.parts)
            length = min(chance.choice([1, 2, 5, 16, 32]), geometry.parts - start)
            offset, size = start * geometry.part_size, length * geometry.part_size
            match chance.choice(["write", "write", "write", "zero", "discard"]):
                case "write":
                    label = f"{chance.choice('ABCDEFGH')}{chance.randrange(100)}"
                    source = self.directory / f"pattern{number}"
                    source.write_bytes(fill(label, RUN, offset, size, geometry.cell_size))
                    commands.append(f"write -s {source} {offset} {size}")
                    self.content = self.content.write(label, ranges=[(offset, size)])
                case "zero":
                    commands.append(f"write -z {chance.choice(['', '-u'])} {offset} {size}")
                    self.content = self.content.zero(ranges=[(offset, size)])
                case _:
                    commands.append(f"discard {offset} {size}")
                    self.content = self.content.discard(ranges=[(offset, size)])
        self.acts += [f"{self.content.active}: {command}" for command in commands]
        if commands:
            qemu_io(self.path(self.content.active), *commands)

    def snapshot(self, overlay: str) -> None:
        size = str(self.content.geometry.size)
        create(self.path(overlay), size, *self.options, backing=self.path(self.content.active))
        self.content = self.content.snapshot(overlay)
        self.acts.append(f"snapshot {overlay}")

    def commit(self, top: str, base: str) -> None:
        """In mid-chain: qemu-img commits the data, and the layer above is rebased by hand, as a live commit does."""
        above = self.content.chain()[self.content.chain().index(top) + 1]
        qemu_img("commit", "-q", "-d", "-b", self.path(base), self.path(top))
        qemu_img("rebase", "-u", "-F", "qcow2", "-b", self.path(base), self.path(above))
        self.content = self.content.commit(top, base)
        self.acts.append(f"commit {top} into {base}")

    def active_commit(self, base: str) -> None:
        qemu_img("commit", "-q", "-d", "-b", self.path(base), self.path(self.content.active))
        self.content = self.content.active_commit_ready(base).pivot()
        self.acts.append(f"active commit into {base}")

    def pull(self, base: str | None) -> None:
        """Rebase with data: qemu-img copies what would otherwise change, so what is *in* the file may differ."""
        backing = ["-b", ""] if base is None else ["-F", "qcow2", "-b", str(self.path(base))]
        qemu_img("rebase", *backing, self.path(self.content.active))
        self.content = self.content.pull(base)
        self.acts.append(f"pull onto {base}")

    def difference(self, *, contains: bool = True) -> str:
        """Oracle against our reader; without `contains` only what the files show and what they are backed by."""
        paths = {name: PurePosixPath(self.path(name)) for name in self.content.files()}
        geometry = self.content.geometry
        seen = Table(reader_of(self.directory).measure(paths, geometry, RUN, self.content), geometry)
        said = difference(self.content.table(guest=False), seen)
        if not contains:
            said = "\n".join(line for line in said.splitlines() if " shows: " in line or " backing file" in line)
        return said and "\n".join([said, *self.acts])

    def chance_of(self, chance: random.Random) -> None:
        """Two to four layers with data, then one job that is possible."""
        layers = chance.randint(2, 4)
        for number in range(layers):
            if number:
                self.snapshot(f"l{number}")
            self.guest(chance, chance.randint(1, 4))
        chain = self.content.chain()
        low = chance.randrange(layers - 1)
        if layers > 2 and chance.random() < 0.5:
            low = chance.randrange(layers - 2)
            self.commit(chain[chance.randint(low + 1, layers - 2)], chain[low])
        else:
            self.active_commit(chain[low])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_random_layers_and_commits_are_as_the_oracle_says(geometry: Geometry, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    disk = RealDisk(tmp_path, geometry)

    disk.chance_of(chance)
    assert disk.difference() == ""

    disk.guest(chance, 3)
    assert disk.difference() == ""
    paths = {name: PurePosixPath(disk.path(name)) for name in disk.content.files()}
    theirs = Table(QemuImg(run).measure(paths, geometry, RUN, disk.content), geometry)
    assert difference(disk.content.table(guest=False), theirs) == ""


@pytest.mark.parametrize("base", [None, "l0"])
def test_after_a_pull_every_view_is_as_the_oracle_says(base: str | None, tmp_path: Path) -> None:
    chance = random.Random(7)
    disk = RealDisk(tmp_path, GEOMETRIES["64k clusters"])
    for overlay in ("l1", "l2", "l3"):
        disk.guest(chance, 3)
        disk.snapshot(overlay)

    disk.pull(base)
    assert disk.difference(contains=False) == ""


@pytest.mark.parametrize("seed", range(3))
def test_subclusters_are_units_of_allocation(seed: int, tmp_path: Path) -> None:
    """With extended L2 entries the unit is 1/32 of the cluster; of a discard it is the cluster."""
    geometry = Geometry(cells=4, cell_size=65536, part_size=4096, cluster_size=4096, discard_size=131072)
    disk = RealDisk(tmp_path, geometry)
    disk.options = ("extended_l2=on", "cluster_size=128k")
    disk.path("l0").unlink()
    create(disk.path("l0"), str(geometry.size), *disk.options)
    chance = random.Random(seed)
    for overlay in ("l1", "l2"):
        disk.guest(chance, 4)
        disk.snapshot(overlay)
    disk.guest(chance, 4)
    assert disk.difference() == ""

    disk.active_commit("l0")
    assert disk.difference() == ""


def test_a_part_of_a_cluster_that_is_discarded_keeps_its_data_or_reads_as_zeros(tmp_path: Path) -> None:
    """The oracle promises nothing there; QEMU 7.2 keeps the data."""
    geometry = GEOMETRIES["64k clusters"]
    disk = RealDisk(tmp_path, geometry)
    source = tmp_path / "pattern"
    source.write_bytes(fill("A", RUN, 0, 65536, 65536))
    qemu_io(disk.path("l0"), f"write -s {source} 0 64k", "discard 4k 8k")

    (row,) = reader_of(tmp_path).measure({"l0": PurePosixPath(disk.path("l0"))}, geometry, RUN)
    assert row.contains is not None
    assert set(row.contains[1:3]) <= {"A", ZERO}
    assert set(row.contains[3:16]) == {"A"}


# each check is seen to fail


def broken_commit(content: Content, top: str, base: str) -> Content:
    """An oracle that forgets the lowest committed layer, if that is not all of them."""
    chain = content.chain()
    lowest = chain[chain.index(base) + 1]
    return content if lowest == top else content.commit(top, lowest)


def test_an_oracle_with_a_wrong_commit_is_found_out(tmp_path: Path) -> None:
    chance = random.Random(1)
    disk = RealDisk(tmp_path, GEOMETRIES["64k clusters"])
    for overlay in ("l1", "l2", "l3"):
        disk.guest(chance, 3)
        disk.snapshot(overlay)
    before = disk.content
    disk.commit("l2", "l0")
    assert disk.difference() == ""

    disk.content = broken_commit(before, "l2", "l0")
    assert "l0 contains: " in disk.difference()
    assert "l3 should have l1 as backing file, has l0" in disk.difference()


def test_a_write_that_the_oracle_was_not_told_of_is_found_out(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path, GEOMETRIES["4k clusters"])
    disk.guest(random.Random(2), 4)
    before = disk.content
    disk.content = disk.content.write("Z", ranges=[(8192, 4096)])

    assert "l0 contains: cell 0, its bytes 8192-12287, should be Z" in disk.difference()
    disk.content = before
    assert disk.difference() == ""
