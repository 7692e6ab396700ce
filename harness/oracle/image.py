"""An image is a name, a format and a store, as values: what the oracle must know of each; storage/ spells them.

The rules are QEMU's: docs/interop/qcow2.rst, block/qcow2.c, block/raw-format.c.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

LUKS_HEADER = 2068480
"""Bytes of a LUKS header as QEMU makes it, with room for eight keys (QEMU crypto/block-luks.c)."""
SUBCLUSTERS = 32
"""How many subclusters a cluster has with extended L2 entries."""


_REFCOUNT_BITS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Qcow2:
    """The format qcow2; sizes in bytes.

    `subclusters` are extended L2 entries: then a thirty-second of a cluster is what is allocated. `data_file` is
    the path of the file that holds the guest's data, where that is one of its own. `refcount_bits` are those of the
    refcount of a cluster. With a `secret` its clusters are encrypted by LUKS.
    """

    cluster_size: int = 65536
    subclusters: bool = False
    compat: Literal["0.10", "1.1"] = "1.1"
    lazy_refcounts: bool = False
    compression: Literal["zlib", "zstd"] = "zlib"
    data_file: str | None = None
    refcount_bits: int = 16
    secret: str = ""

    name = "qcow2"
    has_metadata = True
    """Whether there is bookkeeping that can be checked, and a header that names a backing file."""

    def __post_init__(self) -> None:
        if self.cluster_size < 512 or self.cluster_size & (self.cluster_size - 1):
            raise ValueError(f"the cluster size {self.cluster_size} is no power of two from 512 on")
        if self.refcount_bits not in _REFCOUNT_BITS:
            raise ValueError(f"refcounts of {self.refcount_bits} bits: there are {_REFCOUNT_BITS}")

    @property
    def unit(self) -> int:
        """Bytes that are allocated together."""
        return self.cluster_size // SUBCLUSTERS if self.subclusters else self.cluster_size

    @property
    def discard_unit(self) -> int:
        """Bytes that a discard must cover to have an effect (QEMU block/qcow2.c: pdiscard_alignment)."""
        return self.cluster_size


@dataclass(frozen=True)
class Raw:
    """The format raw: no header, no backing file; a hole is one of the file system's, and reads as zeros.

    Of a `device` nobody can tell where it holds nothing: QEMU copies it all. So it is where it is encrypted by LUKS,
    with a `secret`: to QEMU that is a format of its own.
    """

    device: bool = False
    secret: str = ""

    data_file = None
    has_metadata = False
    unit = 0
    """0: what is written is what is allocated."""
    discard_unit = 0

    @property
    def name(self) -> str:
        """What QEMU calls it."""
        return "luks" if self.secret else "raw"

    @property
    def is_full(self) -> bool:
        """Whether it has no holes."""
        return self.device or bool(self.secret)


Format = Qcow2 | Raw


def mirror_granularity(form: Format) -> int:
    """Bytes that a mirror (an active commit, a copy) whose target has this format copies together.

    That is the granularity of its dirty bitmap (QEMU block.c, bdrv_get_default_bitmap_granularity), and what the target
    allocates together.
    """
    return max(min(65536, max(4096, form.cluster_size)), form.unit) if isinstance(form, Qcow2) else 65536


QCOW2 = Qcow2()
"""qcow2 as qemu-img and libvirt make it by default."""


@dataclass(frozen=True)
class File:
    """A file, at `path` as the stack under test sees it."""

    path: PurePosixPath


@dataclass(frozen=True)
class Block:
    """A block device (a loop device, a logical volume), at `path`."""

    path: PurePosixPath


@dataclass(frozen=True)
class Nbd:
    """An export of an NBD server that listens on the unix socket `socket`."""

    socket: PurePosixPath
    export: str

    @property
    def path(self) -> PurePosixPath | None:
        """The raw file that it is, where the server is one that a trial has for images; None of any other server.

        The socket of such a one ends in .nbd, and the files lie in the directory that is called as it is without that.
        """
        return self.socket.with_suffix("") / self.export if self.socket.suffix == ".nbd" else None


@dataclass(frozen=True)
class Fuse:
    """What qemu-storage-daemon exports as the file `path`, through FUSE: a file to those who open it."""

    path: PurePosixPath


Store = File | Block | Nbd | Fuse


@dataclass(frozen=True)
class Image:
    """One image: its name in tables, what its bytes mean, and where they lie."""

    name: str
    format: Format = field(default_factory=Qcow2)
    store: Store = field(default_factory=lambda: File(PurePosixPath("/nowhere")))

    def __str__(self) -> str:
        return self.name
