"""The oracle says what QEMU's live block jobs leave in every file: no VM, but the jobs themselves."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.pattern import fill
from harness.oracle.table import Table, difference
from harness.tests.oracle.storage_daemon import StorageDaemon
from harness.tests.oracle.tools import RUN, create, needs_qemu_img, reader_of

pytestmark = [
    needs_qemu_img,
    pytest.mark.skipif(shutil.which("qemu-storage-daemon") is None, reason="qemu-storage-daemon is not installed"),
]

GEOMETRIES = {
    "64k clusters": Geometry(cells=8),
    "4k clusters": Geometry(cells=8, cell_size=16384, cluster_size=4096),
    "clusters larger than cells": Geometry(cells=8, cell_size=32768, cluster_size=131072),
}


class LiveDisk:
    """Four layers with random contents, live in a storage daemon, and the oracle's idea of them."""

    def __init__(self, daemon: StorageDaemon, geometry: Geometry, chance: random.Random) -> None:
        self.daemon = daemon
        self.chance = chance
        self.content = Content.new("l0", geometry)
        self.make("l0")
        daemon.open("l0")
        daemon.attach("l0")
        self.guest()
        for overlay in ("l1", "l2", "l3"):
            self.make(overlay, backing=self.content.active)
            daemon.open(overlay)
            daemon.command("blockdev-snapshot", {"node": self.content.active, "overlay": overlay})
            self.content = self.content.snapshot(overlay)
            self.guest()

    def make(self, name: str, backing: str | None = None) -> None:
        geometry = self.content.geometry
        below = None if backing is None else self.daemon.path(backing)
        create(self.daemon.path(name), str(geometry.size), f"cluster_size={geometry.cluster_size}", backing=below)

    def guest(self, count: int = 4) -> None:
        geometry, chance = self.content.geometry, self.chance
        commands = []
        for number in range(count):
            start = chance.randrange(geometry.parts)
            length = min(chance.choice([1, 3, 8, 16, 32]), geometry.parts - start)
            offset, size = start * geometry.part_size, length * geometry.part_size
            match chance.choice(["write", "write", "zero", "discard"]):
                case "write":
                    label = f"{chance.choice('ABCDEFGH')}{chance.randrange(100)}"
                    source = self.daemon.directory / f"pattern{number}"
                    source.write_bytes(fill(label, RUN, offset, size, geometry.cell_size))
                    commands.append(f"write -s {source} {offset} {size}")
                    self.content = self.content.write(label, ranges=[(offset, size)])
                case "zero":
                    commands.append(f"write -z {chance.choice(['', '-u'])} {offset} {size}")
                    self.content = self.content.zero(ranges=[(offset, size)])
                case _:
                    commands.append(f"discard {offset} {size}")
                    self.content = self.content.discard(ranges=[(offset, size)])
        self.daemon.guest(*commands)

    def difference(self) -> str:
        paths = {name: PurePosixPath(self.daemon.path(name)) for name in self.content.files()}
        geometry = self.content.geometry
        rows = reader_of(self.daemon.directory).measure(paths, geometry, RUN, self.content)
        return difference(self.content.table(guest=False), Table(rows, geometry))


def active_commit(disk: LiveDisk) -> None:
    base = disk.chance.choice(["l0", "l1", "l2"])
    disk.daemon.job("block-commit", {"device": "l3", "base-node": base}, "BLOCK_JOB_READY")
    disk.content = disk.content.active_commit_ready(base)
    assert disk.difference() == ""
    disk.guest()
    disk.daemon.finish()
    disk.content = disk.content.pivot()


def active_commit_given_up(disk: LiveDisk) -> None:
    disk.daemon.job("block-commit", {"device": "l3", "base-node": "l0"}, "BLOCK_JOB_READY")
    disk.content = disk.content.active_commit_ready("l0")
    disk.guest()
    disk.daemon.finish(cancel=True)
    disk.content = disk.content.abort()


def commit_in_mid_chain(disk: LiveDisk) -> None:
    base, top = disk.chance.choice([("l0", "l1"), ("l0", "l2"), ("l1", "l2")])
    layers = {"device": "l3", "base-node": base, "top-node": top}
    disk.daemon.job("block-commit", layers, "BLOCK_JOB_COMPLETED")
    disk.content = disk.content.commit(top, base)


def pull(disk: LiveDisk) -> None:
    base = disk.chance.choice([None, "l0", "l1"])
    layers = {"device": "l3"} if base is None else {"device": "l3", "base-node": base}
    disk.daemon.job("block-stream", layers, "BLOCK_JOB_COMPLETED")
    disk.content = disk.content.pull(base)


def copy(disk: LiveDisk) -> None:
    shallow = disk.chance.random() < 0.5
    backing = "l2" if shallow else None
    disk.make("copy", backing)
    disk.daemon.open("copy", backing)  # blockdev-mirror leaves it as it is, so it must have its backing node by itself
    sync = "top" if shallow else "full"
    disk.daemon.job("blockdev-mirror", {"device": "l3", "target": "copy", "sync": sync}, "BLOCK_JOB_READY")
    disk.content = disk.content.copy_ready("copy", shallow=shallow)
    assert disk.difference() == ""
    disk.guest()
    disk.daemon.finish()
    disk.content = disk.content.pivot()


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
@pytest.mark.parametrize("act", [active_commit, active_commit_given_up, commit_in_mid_chain, pull, copy])
def test_a_live_job_leaves_every_file_as_the_oracle_says(
    act: Callable[[LiveDisk], None], geometry: Geometry, tmp_path: Path
) -> None:
    with StorageDaemon(tmp_path) as daemon:
        disk = LiveDisk(daemon, geometry, random.Random(f"{act.__name__} {geometry}"))
        assert disk.difference() == ""
        act(disk)
        disk.guest()
        assert disk.difference() == ""
