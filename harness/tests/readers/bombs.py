"""Images of a few megabytes that would take memory or time without end, if one let them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from harness.tests.oracle.tools import create
from harness.tests.readers.mutations import ACTIVE

_L2 = 8 << 20


def _image(path: Path, cluster_bits: int, l2: bytes, *, tables: int, data: bytes = b"", extended: bool = False) -> None:
    """A qcow2 image with `tables` L2 tables, which are `l2` in turn; `data` is the cluster after all of them."""
    cluster = 1 << cluster_bits
    l1_clusters = -(-tables * 8 // cluster)
    first = cluster * (1 + l1_clusters)
    size = tables * cluster * (cluster // (16 if extended else 8))
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, cluster_bits, size, 0, tables, cluster, cluster, 1, 0, 0
    ) + struct.pack(">QQQII", 16 if extended else 0, 0, 0, 4, 104)
    l1 = b"".join(struct.pack(">Q", 1 << 63 | first + number * cluster) for number in range(tables))
    with path.open("wb") as file:
        file.write(header.ljust(cluster, b"\0") + l1.ljust(l1_clusters * cluster, b"\0"))
        for _ in range(tables):
            file.write(l2)
        file.write(data)


def alternating_entries(directory: Path) -> None:
    """Every other cluster is zeros: a piece for each of a million."""
    _image(directory / ACTIVE, 12, struct.pack(">QQ", 1, 0) * 256, tables=_L2 >> 12)


def alternating_subclusters(directory: Path) -> None:
    """Every other subcluster is zeros: 16 million pieces."""
    _image(directory / ACTIVE, 16, struct.pack(">QQ", 0, 0x55555555 << 32) * 4096, tables=_L2 >> 16, extended=True)


def more_tables_than_can_be_read(directory: Path) -> None:
    """64 MiB of L2 tables."""
    _image(directory / ACTIVE, 16, struct.pack(">Q", 1) * 8192, tables=1024)


def one_cluster_a_million_times(directory: Path) -> None:
    """Half a terabyte of allocated zeros, in one cluster of 2 MiB."""
    host = (1 << 21) * 3
    _image(directory / ACTIVE, 21, struct.pack(">Q", 1 << 63 | host) * 262144, tables=1, data=bytes(1 << 21))


def one_packed_cluster_a_million_times(directory: Path) -> None:
    """The same, compressed to two kilobytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    packed = packer.compress(bytes(1 << 21)) + packer.flush()
    host = (1 << 21) * 3
    _image(directory / ACTIVE, 21, struct.pack(">Q", 1 << 62 | 7 << 49 | host) * 262144, tables=1, data=packed)


def empty_table_of_32_mib(directory: Path) -> None:
    """The largest L1 table that QEMU allows, in a file that takes no room."""
    _image(directory / ACTIVE, 16, b"", tables=1)
    with (directory / ACTIVE).open("r+b") as file:
        file.seek(24)
        file.write(struct.pack(">QII", (1 << 22) * (1 << 29), 0, 1 << 22))
        file.seek(1 << 16)
        file.write(bytes(8))
        file.truncate(64 << 20)


def sparse_tables(directory: Path) -> None:
    """200,000 L2 tables, all of them holes of a file of 400 GB."""
    count = 200_000
    l1 = b"".join(struct.pack(">Q", 1 << 63 | (16 << 20) + number * (1 << 21)) for number in range(count))
    _image(directory / ACTIVE, 21, b"", tables=1)
    with (directory / ACTIVE).open("r+b") as file:
        file.seek(24)
        file.write(struct.pack(">QII", count << 39, 0, count))
        file.seek(1 << 21)
        file.write(l1)
        file.truncate((16 << 20) + (count << 21))


def deep_chain(directory: Path) -> None:
    """300 images over each other, each of them a disk of 30 MiB."""
    create(directory / "base.qcow2", "30M")
    image = (directory / "base.qcow2").read_bytes()
    for number in range(300):
        below = f"l{number - 1}.qcow2" if number else "base.qcow2"
        name = ACTIVE if number == 299 else f"l{number}.qcow2"
        header = bytearray(image)
        header[8:20] = struct.pack(">QI", 1024, len(below))
        header[1024 : 1024 + len(below)] = below.encode()
        (directory / name).write_bytes(header)


def large_layers(directory: Path) -> None:
    """100 images over each other, each of them a disk of 30 MiB of zeros that are there."""
    deep_chain(directory)
    (directory / "l100.qcow2").replace(directory / ACTIVE)


def raw_file_of_holes(directory: Path) -> None:
    """A raw base of 2 GiB with a block in every other place, as far as this takes no more than 16 MiB."""
    create(directory / ACTIVE, "30M")
    with (directory / "base.raw").open("wb") as file:
        for number in range(4096):
            file.seek(number << 19)
            file.write(b"\1")
    header = bytearray((directory / ACTIVE).read_bytes())
    header[8:20] = struct.pack(">QI", 1024, 8)
    header[1024:1032] = b"base.raw"
    (directory / ACTIVE).write_bytes(header)


BOMBS: tuple[Callable[[Path], None], ...] = (
    *(alternating_entries, alternating_subclusters, one_cluster_a_million_times, one_packed_cluster_a_million_times),
    *(empty_table_of_32_mib, sparse_tables, deep_chain, large_layers, raw_file_of_holes, more_tables_than_can_be_read),
)
