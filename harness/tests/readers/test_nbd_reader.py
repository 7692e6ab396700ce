"""The reader over NBD agrees with the own reader, image by image, and refuses what cannot be read."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from harness.errors import ImageError
from harness.oracle.geometry import Geometry
from harness.oracle.image import File, Image, Raw
from harness.oracle.pattern import fill
from harness.process import NOWHERE, PIPE, kill, read_until
from harness.readers.nbd_reader import NbdReader
from harness.readers.own import Reader
from harness.readers.served import read_export
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import IMAGES, Isolation, Sandbox
from harness.stack.storage_daemon import StorageDaemon
from harness.storage.images import image_at
from harness.tests.oracle.tools import images_at
from harness.tests.readers.mutations import VARIANTS, mutated
from harness.waiting import now

RUN = "0badcafe"
GEOMETRY = Geometry()


class Bench:
    """A storage daemon over images that plain qemu-img makes."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.own = Reader(sandbox.outside, sandbox.outside(IMAGES))
        self.storage = StorageDaemon(sandbox)
        self.over_nbd = NbdReader(self.storage, self.own)

    def path(self, name: str) -> PurePosixPath:
        return IMAGES / f"{name}.qcow2"

    def make(self, name: str, backing: str | None, *commands: str, options: tuple[str, ...] = ()) -> None:
        self.create(name, backing, GEOMETRY.size, *options)
        typed = [word for command in commands for word in ("-c", command)]
        self.sandbox.run(["qemu-io", *typed, str(self.path(name))], timeout=30).check()

    def create(self, name: str, backing: str | None, size: int, *options: str) -> None:
        below = [] if backing is None else ["-b", str(self.path(backing)), "-F", "qcow2"]
        chosen = [word for option in options for word in ("-o", option)]
        command = ["qemu-img", "create", "-q", "-f", "qcow2", *below, *chosen, str(self.path(name)), str(size)]
        self.sandbox.run(command, timeout=30).check()

    def images(self, *names: str) -> list[Image]:
        return images_at({name: self.path(name) for name in names})

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
    images = bench.images("cur", "base", "sn1")

    own = bench.own.measure(images, GEOMETRY, RUN)
    assert bench.over_nbd.measure(images, GEOMETRY, RUN) == own
    assert bench.over_nbd.measure(images, GEOMETRY, RUN) == own  # and again, from the same daemon


def test_what_is_refused_once_does_not_spoil_the_next_call(bench: Bench) -> None:
    bench.make("base", None)
    bench.mark("base", "A", 0)
    (bench.sandbox.outside(bench.path("broken"))).write_bytes(b"QFI\xfb" + bytes(60))

    with pytest.raises(ImageError, match=r"^/export/images/broken.qcow2: "):
        bench.over_nbd.measure(bench.images("base", "broken"), GEOMETRY, RUN)
    (row,) = bench.over_nbd.measure(bench.images("base"), GEOMETRY, RUN)
    assert row.contains is not None
    assert row.contains[0] == "A"


def test_what_qemu_alone_refuses_is_said_of_the_layer(bench: Bench) -> None:
    """QEMU looks at the refcount table, the own reader does not."""
    bench.make("base", None)
    bench.make("cur", "base")
    with bench.sandbox.outside(bench.path("cur")).open("r+b") as file:
        file.seek(48)
        file.write(b"\xff" * 8)

    bench.own.measure(bench.images("base", "cur"), GEOMETRY, RUN)
    with pytest.raises(ImageError, match=r"^/export/images/cur.qcow2: QEMU does not open it: .*blockdev-add"):
        bench.over_nbd.measure(bench.images("base", "cur"), GEOMETRY, RUN)


@contextmanager
def in_use(bench: Bench, name: str) -> Iterator[None]:
    """Another QEMU has the image open for writing, with its locks."""
    holder = bench.sandbox.spawn(["qemu-io", str(bench.path(name))], stdout=PIPE, stderr=NOWHERE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        holder.stdin.write(b"write -P 7 0 512\n")
        holder.stdin.flush()
        read_until(holder.stdout.fileno(), b"ops/sec", "qemu-io to write", seconds=10)
        yield
    finally:
        kill(holder)
        holder.stdin.close()
        holder.stdout.close()


def with_data_file(bench: Bench) -> list[Image]:
    """An image whose data is in a file of its own."""
    bench.make("base", None, "write -P 0 256k 64k", options=(f"data_file={IMAGES}/base.data",))
    bench.mark("base", "A", 1)
    return bench.images("base")


def test_an_external_data_file_that_is_in_use_is_read(bench: Bench) -> None:
    images = with_data_file(bench)

    with in_use(bench, "base"):
        rows = bench.over_nbd.measure(images, GEOMETRY, RUN)
        assert rows == bench.own.measure(images, GEOMETRY, RUN)


def test_left_to_itself_qemu_opens_the_data_file_with_locks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the reader must not do: so it was red."""
    images = with_data_file(bench)
    monkeypatch.setattr(NbdReader, "_data_node", lambda _, __: None)

    with in_use(bench, "base"), pytest.raises(ImageError, match=r'Failed to get (shared )?"\w+" lock'):
        bench.over_nbd.measure(images, GEOMETRY, RUN)


@pytest.mark.parametrize("target", ["/dev/zero", "../secret", "FIFO"])
@pytest.mark.parametrize("what", ["image", "data file", "raw image"])
def test_qemu_is_not_told_of_files_elsewhere(bench: Bench, what: str, target: str) -> None:
    """A FIFO would hang the storage daemon until the deadline."""
    images = with_data_file(bench)
    bench.sandbox.outside(IMAGES.parent / "secret").write_bytes(bytes(GEOMETRY.size))
    name = {"image": "base.qcow2", "data file": "base.data", "raw image": "base.raw"}[what]
    place = bench.sandbox.outside(IMAGES / name)
    place.unlink(missing_ok=True)
    if target == "FIFO":
        os.mkfifo(place)
    else:
        place.symlink_to(target)
    if what == "raw image":
        images = [Image("base", Raw(), File(IMAGES / name))]

    began = now()
    with pytest.raises(ImageError, match=f"^{IMAGES / name}: "):
        bench.over_nbd.measure(images, GEOMETRY, RUN)
    assert now() - began < 5.0


def test_mutated_images_are_image_errors_or_read_as_by_the_own_reader(bench: Bench) -> None:
    """The daemon is another one after each error; none of them may end it by itself, or take long."""
    directory = bench.sandbox.outside(IMAGES)
    originals = [variant.make(directory, IMAGES) for variant in VARIANTS.values()]
    compared = refused = 0
    for number in range(60):
        files, done = mutated(originals[number % len(originals)], random.Random(f"over nbd {number}"))
        for name, data in files.items():
            (directory / name).write_bytes(data)
        images = [
            image_at(IMAGES / name, Raw() if name == "base.raw" else None) for name in files if "data" not in name
        ]
        try:
            rows = bench.over_nbd.measure(images, GEOMETRY, RUN)
        except ImageError as error:
            assert error.image.startswith("/export/images/"), done  # noqa: PT017 - many, but not all, of them raise
            refused += 1
        else:
            with suppress(ImageError):  # it is stricter: it refuses what points past the end of a file
                assert rows == bench.own.measure(images, GEOMETRY, RUN), done
                compared += 1
        for name in files:
            (directory / name).unlink()
    assert min(compared, refused) > 10


def test_a_header_that_the_own_reader_reads_otherwise_than_qemu_is_found(bench: Bench) -> None:
    bench.make("base", None)
    bench.make("sn1", "base")

    class Liar(Reader):
        def backing(self, image: Image) -> PurePosixPath | None:  # noqa: ARG002
            return None

    liar = NbdReader(bench.storage, Liar(bench.sandbox.outside))

    with pytest.raises(ImageError, match=r"QEMU reads backing file /export/images/base.qcow2, we read None"):
        liar.measure(bench.images("base", "sn1"), GEOMETRY, RUN)


def test_nothing_is_left_of_it(bench: Bench) -> None:
    bench.make("base", None)
    bench.over_nbd.measure(bench.images("base"), GEOMETRY, RUN)
    bench.sandbox.close()
    assert not bench.sandbox.directory.exists()


def test_a_large_disk_is_as_quickly_read_and_what_lies_far_out_is_found(bench: Bench) -> None:
    large = replace(GEOMETRY, tail=(1 << 40) - GEOMETRY.size)
    for name, backing in (("base", None), ("cur", "base")):
        bench.create(name, backing, large.disk_size)
    bench.mark("base", "A", 0)
    bench.mark("cur", "D", 11)
    images = bench.images("base", "cur")

    rows = bench.own.measure(images, large, RUN)
    assert bench.over_nbd.measure(images, large, RUN) == rows
    assert [row.beyond for row in rows] == ["", ""]

    stray = ["qemu-io", "-c", f"write -P 7 {GEOMETRY.size + (64 << 20)} 512", str(bench.path("cur"))]
    bench.sandbox.run(stray, timeout=30).check()
    assert "of the disk is foreign" in bench.own.measure(images, large, RUN)[1].beyond


NAMES = (
    *(
        "base.1764042000",
        "with blank",
        "a:b",
        "a,b",
        "a=b",
        "ä",
        "日本",
        "-dash",
        "quote'",
        'double"',
        "a;b",
        "a%20b",
        "a#b",
    ),
    *("json:{}", "nbd:unix:x", "back\\slash"),
)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_that_a_file_can_have_is_read(bench: Bench, name: str) -> None:
    bench.make("base", None)
    bench.mark("base", "A", 0)
    bench.create(name, "base", GEOMETRY.size)
    images = bench.images("base", name)

    rows = bench.over_nbd.measure(images, GEOMETRY, RUN)
    assert rows == bench.own.measure(images, GEOMETRY, RUN)
    assert (rows[1].name, rows[1].backing, rows[1].backing_format, rows[1].size) == (
        name,
        "base",
        "qcow2",
        GEOMETRY.size,
    )


@pytest.mark.parametrize(
    "text", ["./base.qcow2", "../images/base.qcow2", "/export//images/base.qcow2", "link.qcow2", "base.qcow2"]
)
def test_a_backing_file_is_the_same_file_whatever_the_header_calls_it(bench: Bench, text: str) -> None:
    bench.make("base", None)
    bench.mark("base", "A", 0)
    bench.create("cur", "base", GEOMETRY.size)
    bench.sandbox.outside(IMAGES / "link.qcow2").symlink_to("base.qcow2")
    rebase = ["qemu-img", "rebase", "-u", "-F", "qcow2", "-b", text, str(bench.path("cur"))]
    bench.sandbox.run(rebase, timeout=30).check()
    images = bench.images("base", "cur")

    rows = bench.over_nbd.measure(images, GEOMETRY, RUN)
    assert rows == bench.own.measure(images, GEOMETRY, RUN)
    assert rows[1].backing == "base"


def _served(bench: Bench, bitmap: str = "") -> None:
    """Have the storage daemon serve `base` under the name `vda`, with the bitmap `ck`, if that is wanted."""
    file = {"driver": "file", "filename": str(bench.path("base"))}
    export: dict[str, object] = {"id": "vda", "type": "nbd", "node-name": "base", "name": "vda", "writable": True}
    if bitmap:
        export["bitmaps"] = [bitmap]
    image: dict[str, object] = {"driver": "qcow2", "node-name": "base", "file": file}
    bench.storage.execute([("blockdev-add", image), ("block-export-add", export)])


def test_a_client_reads_an_export_whole_and_what_its_bitmap_says(bench: Bench) -> None:
    bench.create("base", None, GEOMETRY.size)
    bench.sandbox.run(["qemu-img", "bitmap", "--add", str(bench.path("base")), "ck"], timeout=30).check()
    bench.mark("base", "A", 1)
    bench.mark("base", "B", 5)
    _served(bench, "ck")
    export = read_export(bench.storage.socket, "vda", bench.storage.close, "ck")

    size = GEOMETRY.cell_size
    assert export.dirty == ((size, size), (5 * size, size))
    assert export.data == bench.own.shows(image_at(bench.path("base")))


def test_an_export_without_the_bitmap_or_that_is_not_there_is_an_image_error(bench: Bench) -> None:
    bench.create("base", None, GEOMETRY.size)
    _served(bench)

    with pytest.raises(ImageError, match="vda: is served without the bitmap ck"):
        read_export(bench.storage.socket, "vda", bench.storage.close, "ck")
    with pytest.raises(ImageError, match="vdz: cannot be read from its server"):
        read_export(bench.storage.socket, "vdz", bench.storage.close)
