"""The header of a qcow2 image, versions 2 and 3, as QEMU's docs/interop/qcow2.rst has it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from harness.errors import ImageError
from harness.oracle.geometry import SECTOR
from harness.readers.extents import OpenFile

MAGIC = b"QFI\xfb"

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_EXTENSION = struct.Struct(">II")
_BACKING_FORMAT, _DATA_FILE, _BITMAPS, _ENCRYPTION = 0xE2792ACA, 0x44415441, 0x23852875, 0x0537BE77
_TABLE = struct.Struct(">QQ")
_LUKS = 2
_BITMAPS_EXTENSION = struct.Struct(">IIQQ")
_HAS_BITMAPS = 1  # of the autoclear features: without it, what the extension says counts no more
_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN = _DIRTY | _CORRUPT | _EXTERNAL_DATA | _COMPRESSION | _EXTENDED_L2
_MAX_L1 = 32 << 20  # bytes: QEMU's own limit


@dataclass(frozen=True)
class Table:
    """A table that the header has a pointer to: its first byte, and how many there are of what it has."""

    offset: int
    count: int


@dataclass(frozen=True)
class Bookkeeping:
    """What a header says of the image's own bookkeeping.

    `refcounts` counts the clusters of the refcount table; a refcount has 2^`refcount_order` bits. `snapshots` are those
    inside the image. `bitmaps` has the directory of them, which takes `bitmap_bytes`. `is_dirty`: the refcounts may be
    older than what they count. `luks` has the bytes of the header of LUKS, where clusters are encrypted.
    """

    refcounts: Table
    refcount_order: int
    snapshots: Table
    bitmaps: Table
    bitmap_bytes: int
    is_dirty: bool
    luks: Table | None = None


@dataclass(frozen=True)
class Header:
    """What reading needs of a header. Sizes and offsets in bytes; names as they are written, not yet resolved.

    `size` is that of the virtual disk, in whole sectors: QEMU cuts off the rest (block/qcow2.c, qcow2_do_open), where a
    raw file of an odd length gains zeros.
    """

    version: int
    cluster_bits: int
    size: int
    l1_offset: int
    l1_entries: int
    extended_l2: bool
    zstd: bool
    backing: str | None
    backing_format: str | None
    has_data_file: bool
    data_file: str | None
    own: Bookkeeping

    @property
    def cluster_size(self) -> int:
        """Bytes of a cluster."""
        return 1 << self.cluster_bits

    @property
    def l2_entry_size(self) -> int:
        """Bytes of an entry of an L2 table."""
        return 16 if self.extended_l2 else 8

    @property
    def l2_entries(self) -> int:
        """Number of entries of an L2 table, which is one cluster."""
        return self.cluster_size // self.l2_entry_size


def read_header(file: OpenFile) -> Header:
    """Read and check the header. Raises ImageError if the image cannot be read by this reader, and says why."""
    if file.size < _V2.size:
        raise ImageError(file.image, f"is no qcow2 image: it ends after {file.size} bytes, within the header")
    (magic, version, backing_at, backing_length, cluster_bits, size, crypt, l1_entries, l1_offset, *own) = _V2.unpack(
        file.read(0, _V2.size, "the header")
    )
    if magic != MAGIC:
        raise ImageError(file.image, f"is no qcow2 image: it begins with {magic.hex(' ')}")
    if version not in (2, 3):
        raise ImageError(file.image, f"is of version {version} of qcow2; 2 and 3 are known")
    if not 9 <= cluster_bits <= 21:
        raise ImageError(file.image, f"has clusters of 2^{cluster_bits} bytes; 2^9 to 2^21 are known")
    if crypt not in (0, _LUKS):
        raise ImageError(file.image, f"is encrypted ({ {1: 'AES'}.get(crypt, f'method {crypt}') })")
    newer = _version_3(file, version, cluster_bits)
    features = newer.features
    extensions = _extensions(file, newer.length, backing_at or 1 << cluster_bits, cluster_bits)
    header = Header(
        version,
        cluster_bits,
        size // SECTOR * SECTOR,
        l1_offset,
        l1_entries,
        bool(features & _EXTENDED_L2),
        bool(features & _COMPRESSION) and newer.compression == 1,
        _backing(file, backing_at, backing_length, cluster_bits),
        _string(file, extensions, _BACKING_FORMAT),
        bool(features & _EXTERNAL_DATA),
        _string(file, extensions, _DATA_FILE),
        _bookkeeping(file, own, newer, extensions, encrypted=crypt == _LUKS),
    )
    _check_tables(file, header, size)
    return header


@dataclass(frozen=True)
class _Newer:
    """What version 2 does not have, but for extensions; `length` is the header's."""

    features: int
    autoclear: int
    refcount_order: int
    length: int
    compression: int


def _version_3(file: OpenFile, version: int, cluster_bits: int) -> _Newer:
    if version == 2:
        return _Newer(0, 0, 4, _V2.size, 0)
    features, _, autoclear, refcount_order, length = _V3.unpack(file.read(_V2.size, _V3.size, "the header"))
    if not _V2.size + _V3.size <= length <= 1 << cluster_bits:
        raise ImageError(file.image, f"has a header of {length} bytes, which cannot be")
    if refcount_order > 6:
        raise ImageError(file.image, f"has refcounts of 2^{refcount_order} bits, which cannot be")
    if features & _CORRUPT:
        raise ImageError(file.image, "is marked as corrupt")
    if features & ~_KNOWN:
        raise ImageError(file.image, f"has incompatible features that are not known: {features & ~_KNOWN:#x}")
    if features & _EXTENDED_L2 and cluster_bits < 14:
        raise ImageError(file.image, f"has extended L2 entries with clusters of {1 << cluster_bits} bytes")
    compression = file.read(104, 1, "the header")[0] if length > 104 else 0
    if bool(features & _COMPRESSION) != (compression != 0) or compression > 1:
        raise ImageError(file.image, f"has a type of compression that is not known: {compression}")
    return _Newer(features, autoclear, refcount_order, length, compression)


def _extensions(file: OpenFile, at: int, end: int, cluster_bits: int) -> dict[int, tuple[int, int]]:
    """Where the header extensions are that reading needs, by their type: the last one of each, and its length."""
    found: dict[int, tuple[int, int]] = {}
    end = min(end, 1 << cluster_bits)
    while at + _EXTENSION.size <= end:
        kind, length = _EXTENSION.unpack(file.read(at, _EXTENSION.size, "a header extension"))
        at += _EXTENSION.size
        if kind == 0:
            break
        if length > end - at:
            raise ImageError(file.image, f"has a header extension {kind:#x} of {length} bytes, longer than its place")
        if kind in (_BACKING_FORMAT, _DATA_FILE):
            _text(file, at, length, "a header extension")
        if kind in (_BACKING_FORMAT, _DATA_FILE, _BITMAPS, _ENCRYPTION):
            found[kind] = at, length
        at += -(-length // 8) * 8
    return found


def _string(file: OpenFile, extensions: dict[int, tuple[int, int]], kind: int) -> str | None:
    return _text(file, *extensions[kind], "a header extension") if kind in extensions else None


def _bookkeeping(
    file: OpenFile, own: list[int], newer: _Newer, extensions: dict[int, tuple[int, int]], *, encrypted: bool
) -> Bookkeeping:
    """`own` are the last fields of the header of version 2."""
    refcount_offset, refcount_clusters, snapshots, snapshots_offset = own
    bitmaps, bitmap_bytes, bitmaps_offset = 0, 0, 0
    at, length = extensions.get(_BITMAPS, (0, 0))
    if at and newer.autoclear & _HAS_BITMAPS:
        if length != _BITMAPS_EXTENSION.size:
            raise ImageError(file.image, f"has a header extension of {length} bytes for bitmaps, which cannot be")
        bitmaps, _, bitmap_bytes, bitmaps_offset = _BITMAPS_EXTENSION.unpack(
            file.read(at, length, "a header extension")
        )
    return Bookkeeping(
        Table(refcount_offset, refcount_clusters),
        newer.refcount_order,
        Table(snapshots_offset, snapshots),
        Table(bitmaps_offset, bitmaps),
        bitmap_bytes,
        bool(newer.features & _DIRTY),
        _luks(file, extensions) if encrypted else None,
    )


def _luks(file: OpenFile, extensions: dict[int, tuple[int, int]]) -> Table:
    """Where the header of LUKS is, and its bytes."""
    at, length = extensions.get(_ENCRYPTION, (0, 0))
    if length != _TABLE.size:
        raise ImageError(file.image, "is encrypted (LUKS), and does not say where the header of LUKS is")
    return Table(*_TABLE.unpack(file.read(at, length, "a header extension")))


def _backing(file: OpenFile, at: int, length: int, cluster_bits: int) -> str | None:
    if at == 0:
        return None
    if not 0 < length <= 1023 or at + length > 1 << cluster_bits:
        raise ImageError(file.image, f"has a backing file name of {length} bytes at byte {at}, which cannot be")
    return _text(file, at, length, "the backing file name")


def _text(file: OpenFile, at: int, length: int, what: str) -> str:
    """A text in the header, up to a NUL, where it ends for QEMU: a power loss may leave one in it."""
    try:
        text = file.read(at, length, what).partition(b"\0")[0].decode()
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise ImageError(file.image, f"{what} is no text")
    return text


def _check_tables(file: OpenFile, header: Header, size: int) -> None:
    """Refuse tables that cannot be; `size` is the virtual size as the header has it."""
    if size >= 1 << 63:
        raise ImageError(file.image, f"claims a virtual size of {size} bytes, which cannot be")
    if header.has_data_file and header.data_file is None:
        raise ImageError(file.image, "has an external data file, but does not name it")
    if header.l1_entries * 8 > _MAX_L1:
        raise ImageError(file.image, f"has an L1 table of {header.l1_entries} entries, more than QEMU allows")
    needed = -(-size // (header.cluster_size * header.l2_entries))
    if header.l1_entries < needed:
        raise ImageError(file.image, f"has {header.l1_entries} L1 entries; its virtual size takes {needed}")
    if header.l1_offset % header.cluster_size:
        raise ImageError(file.image, f"has its L1 table at byte {header.l1_offset}, which is no cluster boundary")
    file.refuse_beyond(header.l1_offset + needed * 8, "the L1 table")
