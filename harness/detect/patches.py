"""Patches of image files, behind the oracle's back: what a broken QEMU could have written, or not."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.oracle import pattern
from harness.process import PIPE, kill
from harness.trial.trial import Trial

# in the header of a qcow2 image (docs/interop/qcow2.rst)
_SIZE, _L1_OFFSET, _REFCOUNT_TABLE_OFFSET, _INCOMPATIBLE = 24, 40, 48, 72
_POINTER = 0x00FF_FFFF_FFFF_FE00
DIRTY, CORRUPT = 1, 2
"""Bits of the incompatible features."""


@contextmanager
def flipped_bit(trial: Trial, image: str, label: str, cell: int) -> Iterator[None]:
    """For the body, one bit in the middle of layer `label`'s marker of `cell` is another in the file of `image`."""
    marker = _marker(trial, label, cell)
    broken = bytearray(marker)
    broken[len(broken) // 2] ^= 1
    _replace(trial, image, marker, bytes(broken))
    try:
        yield
    finally:
        _replace(trial, image, bytes(broken), marker)


def put_back(trial: Trial, image: str, label: str, cell: int, stale: str) -> None:
    """Replace layer `label`'s marker of `cell` in the file of `image` by that of `stale`: as if its write was lost."""
    _replace(trial, image, _marker(trial, label, cell), _marker(trial, stale, cell))


def misplace_cluster(trial: Trial, image: str, cluster: int) -> None:
    """Have the L2 entry of a cluster of `image` point between two clusters: reading it is an I/O error."""
    file = _file(trial, image)
    l2 = _pointer(file, _pointer(file, _L1_OFFSET))
    entry = _pointer(file, l2 + 8 * cluster)
    _patch(file, l2 + 8 * cluster, struct.pack(">Q", (1 << 63) | entry | 0x200))


def forget_reference(trial: Trial, image: str) -> None:
    """Set the refcount of the L1 table of `image` to 0: its cluster counts as free."""
    file = _file(trial, image)
    block = _pointer(file, _pointer(file, _REFCOUNT_TABLE_OFFSET))
    _patch(file, block + 2 * (_pointer(file, _L1_OFFSET) // 65536), b"\0\0")


def write_zeros(trial: Trial, image: str, at: int, length: int) -> None:
    """Write zeros as data into `image` alone: whoever reads it sees no difference where it held nothing."""
    command = ["qemu-io", "-f", "qcow2", "-c", f"write -q -P 0 {at} {length}", str(trial.path(image))]
    trial.daemon.sandbox.run(command, timeout=60).check()


def leave_snapshot_inside(trial: Trial, image: str) -> None:
    """Make a snapshot inside `image`, as `savevm` does."""
    trial.daemon.sandbox.run(["qemu-img", "snapshot", "-c", "left", str(trial.path(image))], timeout=60).check()


def swap_names_inside(trial: Trial, image: str, one: bytes, other: bytes) -> None:
    """Give two snapshots inside `image`, whose names are as long, each the other's name."""
    header = trial.reader.header(trial.state.image("vm1", "vda", image))
    assert header is not None
    with _file(trial, image).open("r+b") as stream:
        stream.seek(header.own.snapshots.offset)
        table = stream.read(4096)
        places = {name: table.index(name) for name in (one, other)}
        for name, at in zip((other, one), places.values(), strict=True):
            stream.seek(header.own.snapshots.offset + at)
            stream.write(name)


def leave_bitmap(trial: Trial, image: str) -> None:
    """Make a dirty bitmap inside `image`."""
    command = ["qemu-img", "bitmap", "--add", "-f", "qcow2", str(trial.path(image)), "left"]
    trial.daemon.sandbox.run(command, timeout=60).check()


def lose_bit(trial: Trial, image: str) -> None:
    """Clear the lowest bit that is set in the first bitmap inside `image`."""
    header = trial.reader.header(trial.state.image("vm1", "vda", image))
    assert header is not None
    with _file(trial, image).open("r+b") as stream:
        stream.seek(header.own.bitmaps.offset)
        stream.seek(int.from_bytes(stream.read(8)))
        at = int.from_bytes(stream.read(8)) & 0x00FF_FFFF_FFFF_FE00
        stream.seek(at)
        bits = int.from_bytes(stream.read(8), "little")
        stream.seek(at)
        stream.write((bits & (bits - 1)).to_bytes(8, "little"))


def grow_file(trial: Trial, image: str, size: int) -> None:
    """Append `size` bytes of data to the file of `image`."""
    with _file(trial, image).open("ab") as stream:
        stream.write(b"\1" * size)


def name_backing(trial: Trial, image: str, backing: str, form: str = "qcow2") -> None:
    """Write a backing file and its format into the header of `image`, behind the oracle's back."""
    command = ["qemu-img", "rebase", "-u", "-F", form, "-b", str(trial.path(backing)), str(trial.path(image))]
    trial.daemon.sandbox.run(command, timeout=60).check()


def grow_disk(trial: Trial, image: str, size: int) -> None:
    """Write another size of the virtual disk into the header of `image`."""
    _patch(_file(trial, image), _SIZE, struct.pack(">Q", size))


def make_anew(trial: Trial, image: str, *options: str) -> None:
    """Make an image anew, empty and with these options of its format, behind the oracle's back."""
    chosen = ["-o", ",".join(options)] if options else []
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *chosen, str(trial.path(image)), "768k"]
    trial.daemon.sandbox.run(command, timeout=60).check()


@contextmanager
def locked(trial: Trial, image: str) -> Iterator[None]:
    """For the body, a QEMU tool has `image` open for writing."""
    command = ["qemu-io", "-f", "qcow2", str(trial.path(image))]
    child = trial.daemon.sandbox.spawn(command, stdout=PIPE, stderr=PIPE)
    try:
        assert child.stdout is not None
        child.stdout.read(1)  # its prompt: it has the image open
        yield
    finally:
        kill(child)
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()


def forget_cluster(trial: Trial, image: str, cluster: int) -> None:
    """Set the L2 entry of a cluster of `image` to 0: the image does not contain it."""
    file = _file(trial, image)
    l2 = _pointer(file, _pointer(file, _L1_OFFSET))
    _patch(file, l2 + 8 * cluster, bytes(8))


def count_once_more(trial: Trial, image: str) -> None:
    """Set the refcount of the L1 table of `image` to 2: its cluster is never freed."""
    file = _file(trial, image)
    block = _pointer(file, _pointer(file, _REFCOUNT_TABLE_OFFSET))
    _patch(file, block + 2 * (_pointer(file, _L1_OFFSET) // 65536), b"\0\2")


def mark_header(trial: Trial, image: str, bit: int) -> None:
    """Set a bit of the incompatible features in the header of `image`: DIRTY, CORRUPT."""
    _patch(_file(trial, image), _INCOMPATIBLE, struct.pack(">Q", bit))


def change_owner(trial: Trial, image: str) -> None:
    """Give the file of `image` to another group, or to another user. Raises PermissionError unless we are root."""
    shutil.chown(_file(trial, image), 1, 1)


def replace_by_copy(trial: Trial, image: str) -> None:
    """Put a copy of the file of `image` in its place: another file that holds the same."""
    file = _file(trial, image)
    copy = file.with_name("copy")
    shutil.copy2(file, copy)
    copy.replace(file)


def change_mode(trial: Trial, image: str) -> None:
    """Let everybody write to the file of `image`."""
    _file(trial, image).chmod(0o666)


def _file(trial: Trial, image: str) -> Path:
    return trial.daemon.sandbox.outside(trial.path(image))


def _pointer(file: Path, at: int) -> int:
    with file.open("rb") as stream:
        stream.seek(at)
        return int.from_bytes(stream.read(8)) & _POINTER


def _patch(file: Path, at: int, data: bytes) -> None:
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(data)


def _marker(trial: Trial, label: str, cell: int) -> bytes:
    size = trial.vm().disk().content.geometry.cell_size
    return pattern.fill(label, trial.run, cell * size, size, size)


def _replace(trial: Trial, image: str, old: bytes, new: bytes) -> None:
    file = _file(trial, image)
    _patch(file, file.read_bytes().index(old), new)
