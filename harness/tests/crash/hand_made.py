"""Logs and images that are made by hand: a disk of two cells, and calls at whole milliseconds."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from harness.crash.log import MAGIC, Call, Op, read_calls
from harness.crash.promise import Promise, at_rest
from harness.oracle.geometry import Geometry
from harness.oracle.parts import HOLE, Part
from harness.oracle.pattern import fill

RUN = "0badcafe"
CLUSTER = 65536
GEOMETRY = Geometry(cells=2)
DISK = ("vm1", "vda")
DEFINITION = "/etc/libvirt/qemu/vm1.xml"
BASE, TOP = "/export/images/base.qcow2", "/export/images/top.qcow2"
HEADER, TABLE, BLOCK, L1, L2, DATA = (number * CLUSTER for number in range(6))
_COPIED = 1 << 63


def record(op: Op, phase: int, began: int, ended: int = 0, path: str = BASE, **more: int | bytes | str) -> bytes:
    """One record as recorder.c writes it; times in ms."""
    data, other = more.get("data", b""), more.get("other", "")
    assert isinstance(data, bytes)
    assert isinstance(other, str)
    numbers = [more.get(name, 0) for name in ("offset", "length", "result", "flags")]
    header = struct.pack(
        "<IHHqqiiqqqIIII",
        *(MAGIC, op, phase, began * 10**6, ended * 10**6, 7, 8, *numbers),
        *(len(path), len(other), len(data)),
    )
    return header + path.encode() + other.encode() + data


def write(began: int, ended: int, offset: int, data: bytes, path: str = BASE) -> bytes:
    """A write that succeeds."""
    length = len(data)
    begins = record(Op.WRITE, 0, began, path=path, offset=offset, length=length, data=data)
    return begins + record(Op.WRITE, 1, began, ended, path, offset=offset, length=length, result=length)


def flush(began: int, ended: int, path: str = BASE, result: int = 0) -> bytes:
    """A flush; one that fails has a negative result."""
    return record(Op.FLUSH, 0, began, path=path) + record(Op.FLUSH, 1, began, ended, path, result=result)


def renamed(at: int, content: bytes) -> bytes:
    """A new definition, as libvirt writes it."""
    new = f"{DEFINITION}.new"
    made = record(Op.CREATE, 2, at, at, new) + write(at, at + 1, 0, content, new) + flush(at + 2, at + 3, new)
    return made + record(Op.RENAME, 2, at + 4, at + 5, new, other=DEFINITION)


def calls(*pieces: bytes) -> list[Call]:
    """The calls in a log of these pieces."""
    return read_calls(b"".join(pieces))


def definition(image: str) -> bytes:
    """A domain whose vda is an image."""
    disk = f"<disk><driver type='qcow2' cache='none'/><source file='{image}'/><target dev='vda'/></disk>"
    return f"<domain><devices>{disk}</devices></domain>".encode()


def cell(label: str, number: int) -> bytes:
    """What a cell of the disk holds."""
    return fill(label, RUN, number * CLUSTER, CLUSTER, CLUSTER)


def qcow2(cells: Mapping[int, bytes], backing: str = "") -> bytes:
    """An image whose clusters from DATA on hold these cells, in order."""
    return b"".join(
        piece.ljust(CLUSTER, b"\0")
        for piece in (
            header(backing),
            struct.pack(">Q", BLOCK),
            struct.pack(f">{5 + len(cells)}H", *[1] * (5 + len(cells))),
            struct.pack(">Q", L2 | _COPIED),
            l2({number: DATA + at * CLUSTER for at, number in enumerate(cells)}),
            *cells.values(),
        )
    )


def header(backing: str = "") -> bytes:
    """The header of such an image."""
    name_at = 1024 if backing else 0
    first = (b"QFI\xfb", 3, name_at, len(backing), 16, GEOMETRY.size, 0, 1, L1, TABLE, 1, 0, 0)
    fixed = struct.pack(">4sIQIIQIIQQIIQ", *first) + struct.pack(">QQQII", 0, 0, 0, 4, 104)
    return fixed.ljust(1024, b"\0") + backing.encode() if backing else fixed


def l2(places: Mapping[int, int]) -> bytes:
    """An L2 table: where in the file each cell lies."""
    return b"".join(struct.pack(">Q", places[n] | _COPIED if n in places else 0) for n in range(GEOMETRY.cells))


def shown(*cells: Part, active: str = BASE) -> Promise:
    """The promise of a disk whose cells have been flushed."""
    guest = tuple(part for part in cells for _ in range(GEOMETRY.parts_per_cell))
    guest += (HOLE,) * (GEOMETRY.parts - len(guest))
    return at_rest(GEOMETRY, guest, GEOMETRY.size, active)
