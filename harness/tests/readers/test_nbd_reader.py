"""The reader over NBD agrees with the own reader, image by image, and refuses what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from harness.errors import ImageError
from harness.oracle.geometry import Geometry
from harness.oracle.pattern import fill
from harness.readers.nbd_reader import NbdReader
from harness.readers.own import Reader
from harness.readers.qemu_img import QemuImg
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import IMAGES, Isolation, Sandbox
from harness.stack.storage_daemon import QmpError, StorageDaemon

RUN = "0badcafe"
GEOMETRY = Geometry()


class Bench:
    """A storage daemon over images that plain qemu-img makes."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.own = Reader(sandbox.outside)
        self.storage = StorageDaemon(sandbox)
        self.over_nbd = NbdReader(self.storage, self.own.backing)
        self.tool = QemuImg(sandbox.run, sandbox.outside)

    def path(self, name: str) -> PurePosixPath:
        return IMAGES / f"{name}.qcow2"

    def make(self, name: str, backing: str | None, *commands: str, options: tuple[str, ...] = ()) -> None:
        below = None if backing is None else self.path(backing)
        self.tool.create(self.path(name), GEOMETRY.size, backing=below, options=options)
        typed = [word for command in commands for word in ("-c", command)]
        self.sandbox.run(["qemu-io", *typed, str(self.path(name))], timeout=30).check()

    def mark(self, name: str, label: str, cell: int) -> None:
        size = GEOMETRY.cell_size
        source = self.sandbox.outside(IMAGES / "pattern")
        source.write_bytes(fill(label, RUN, cell * size, size, size))
        self.sandbox.run(
            ["qemu-io", "-c", f"write -s {IMAGES}/pattern {cell * size} {size}", str(self.path(name))], timeout=30
        ).check()
        source.unlink()


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = RunDirectory(Path("/var/tmp") / f"cpt-{tmp_path_factory.getbasetemp().stat().st_ino}")
    (directory.path / "export/images").mkdir(parents=True)
    with Sandbox(directory, Isolation(binds=((directory.path / "export", PurePosixPath("/export"), True),))) as sandbox:
        bench = Bench(sandbox)
        yield bench
        bench.storage.close()
    directory.path.parent.rmdir()


def test_it_agrees_with_the_own_reader_on_every_kind_of_cluster(bench: Bench) -> None:
    bench.make("base", None)
    bench.mark("base", "A", 0)
    bench.mark("base", "A", 1)
    bench.mark("base", "A", 3)
    bench.make(
        "sn1", "base", "write -z 64k 64k", "write -P 0 256k 64k", "discard 192k 64k", options=("cluster_size=16k",)
    )
    bench.mark("sn1", "B", 2)
    bench.make("cur", "sn1", "write -z 5k 1k", options=("cluster_size=4k",))
    paths = {name: bench.path(name) for name in ("cur", "base", "sn1")}

    own = bench.own.measure(paths, GEOMETRY, RUN)
    assert bench.over_nbd.measure(paths, GEOMETRY, RUN) == own
    assert bench.over_nbd.measure(paths, GEOMETRY, RUN) == own  # and again, from the same daemon


def test_what_is_refused_once_does_not_spoil_the_next_call(bench: Bench) -> None:
    bench.make("base", None)
    bench.mark("base", "A", 0)
    (bench.sandbox.outside(bench.path("broken"))).write_bytes(b"QFI\xfb" + bytes(60))

    with pytest.raises((QmpError, ImageError)):
        bench.over_nbd.measure({"base": bench.path("base"), "broken": bench.path("broken")}, GEOMETRY, RUN)
    (row,) = bench.over_nbd.measure({"base": bench.path("base")}, GEOMETRY, RUN)
    assert row.contains is not None
    assert row.contains[0] == "A"


def test_a_header_that_the_own_reader_reads_otherwise_than_qemu_is_found(bench: Bench) -> None:
    bench.make("base", None)
    bench.make("sn1", "base")
    liar = NbdReader(bench.storage, lambda _: None)

    with pytest.raises(ImageError, match=r"QEMU reads backing file /export/images/base.qcow2, we read None"):
        liar.measure({"base": bench.path("base"), "sn1": bench.path("sn1")}, GEOMETRY, RUN)


def test_nothing_is_left_of_it(bench: Bench) -> None:
    bench.make("base", None)
    bench.over_nbd.measure({"base": bench.path("base")}, GEOMETRY, RUN)
    bench.sandbox.close()
    assert not bench.sandbox.directory.exists()


def test_a_large_disk_is_as_quickly_read_and_what_lies_far_out_is_found(bench: Bench) -> None:
    large = replace(GEOMETRY, tail=(1 << 40) - GEOMETRY.size)
    for name, backing in (("base", None), ("cur", "base")):
        below = None if backing is None else bench.path(backing)
        bench.tool.create(bench.path(name), large.disk_size, backing=below)
    bench.mark("base", "A", 0)
    bench.mark("cur", "D", 11)
    paths = {name: bench.path(name) for name in ("base", "cur")}

    rows = bench.own.measure(paths, large, RUN)
    assert bench.over_nbd.measure(paths, large, RUN) == rows
    assert [row.beyond for row in rows] == ["", ""]

    stray = ["qemu-io", "-c", f"write -P 7 {GEOMETRY.size + (64 << 20)} 512", str(bench.path("cur"))]
    bench.sandbox.run(stray, timeout=30).check()
    assert "of the disk is foreign" in bench.own.measure(paths, large, RUN)[1].beyond
