"""Cells onto bytes and back: a block says itself which layer, which place and which run it was written for.

A sector of 512 bytes is one line of 64 ASCII bytes, eight times over:

    chainproof D      cell        3 byte         196608 1a2b3c4d   ␊

(the layer's label, the cell, the sector's byte on the disk, the run) so a block that is stale, shifted, torn or of
another run differs from a right one, and can be read in a hex dump.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from harness.oracle.geometry import SECTOR, Range
from harness.oracle.parts import ZERO, Blank, Foreign, Shifted, Torn, Written, check_label

LINE = 64
_LINES = SECTOR // LINE
_PIECE = 65536
_OFFSET_FIELD = slice(37, 51)
_RUN = re.compile(r"[0-9a-f]{8}")
_LAYOUT = re.compile(rb"chainproof ([A-Z][0-9]{0,5}) * cell *([0-9]+) byte *([0-9]+) ([0-9a-f]{8}) {3}\n")

Unit = Written | Blank | Shifted | Foreign | Torn
"""What a unit of bytes turned out to be: Written, ZERO, Shifted, Foreign or Torn."""


def check_run(run: str) -> str:
    """Return `run`, or raise ValueError unless it is eight lower-case hexadecimal digits."""
    if not _RUN.fullmatch(run):
        raise ValueError(f"{run!r} is no run id: eight lower-case hexadecimal digits")
    return run


def _line(label: str, run: str, offset: int, cell_size: int) -> bytes:
    return b"chainproof %-6b cell %8d byte %14d %b   \n" % (label.encode(), offset // cell_size, offset, run.encode())


@lru_cache(maxsize=128)  # a pure function, of which a table asks the same for every layer; 8 MiB at most
def _piece(label: str, run: str, offset: int, length: int, cell_size: int) -> bytes:
    start = _line(label, run, offset, cell_size)
    head, tail = start[: _OFFSET_FIELD.start], start[_OFFSET_FIELD.stop :]
    return b"".join([(head + b"%14d" % at + tail) * _LINES for at in range(offset, offset + length, SECTOR)])


def fill(label: str, run: str, offset: int, length: int, cell_size: int) -> bytes:
    """The `length` bytes that layer `label` writes at byte `offset` of the disk; both are multiples of 512.

    `run` is eight hexadecimal digits, `cell_size` is in bytes. Raises ValueError for anything else.
    """
    check_label(label)
    check_run(run)
    if offset % SECTOR or length % SECTOR or offset < 0 or length < 0 or cell_size % SECTOR or cell_size <= 0:
        raise ValueError(f"{length} bytes at {offset} in cells of {cell_size} are not whole sectors of {SECTOR} bytes")
    pieces = []
    end = offset + length
    if end // cell_size >= 10**8 or end >= 10**14:
        raise ValueError(f"cell {end // cell_size} at byte {end} has more digits than a line has room for")
    while offset < end:
        piece = min(end - offset, cell_size - offset % cell_size, _PIECE)
        pieces.append(_piece(label, run, offset, piece, cell_size))
        offset += piece
    return b"".join(pieces)


def marker(label: str, run: str, ranges: Iterable[Range], cell_size: int) -> bytes:
    """What layer `label` writes to ranges of bytes, one after the other; raises as `fill` does."""
    return b"".join(fill(label, run, offset, length, cell_size) for offset, length in ranges)


def decode(data: bytes, offset: int, run: str, cell_size: int, unit: int = SECTOR) -> list[Unit]:
    """What stands in `data`, which was read at byte `offset` of the disk: one value per `unit` bytes.

    All sizes are in bytes and multiples of 512; a unit does not straddle cells. Of a unit whose sectors disagree
    the value is Torn.
    """
    if len(data) % unit or offset % unit or unit % SECTOR or cell_size % unit:
        raise ValueError(f"{len(data)} bytes at {offset} are not whole units of {unit} bytes in cells of {cell_size}")
    found: list[Unit] = []
    at = 0
    while at < len(data):
        here = offset + at
        span = min(len(data) - at, cell_size - here % cell_size)
        piece = data[at : at + span]
        whole = _at_once(piece, here, run, cell_size)
        if whole is not None:
            found += [whole] * (span // unit)
        else:
            found += [_unit(piece[i : i + unit], here + i, run, cell_size) for i in range(0, span, unit)]
        at += span
    return found


def _at_once(piece: bytes, offset: int, run: str, cell_size: int) -> Unit | None:
    """The value of a whole stretch of one cell if it is what its first line says, or zero; else None."""
    line = _LAYOUT.match(piece)
    if line is None:
        return ZERO if piece == bytes(len(piece)) else None
    label = line[1].decode()
    return Written(label) if piece == fill(label, run, offset, len(piece), cell_size) else None


def _unit(piece: bytes, offset: int, run: str, cell_size: int) -> Unit:
    whole = _at_once(piece, offset, run, cell_size)
    if whole is not None:
        return whole
    values = [_sector(piece[i : i + SECTOR], offset + i, run, cell_size) for i in range(0, len(piece), SECTOR)]
    first = values[0]
    if isinstance(first, Shifted):
        expected = [
            Shifted(first.label, first.from_offset + i, (first.from_offset + i) // cell_size)
            for i in range(0, len(piece), SECTOR)
        ]
        if values == expected:
            return first
    if all(value == first for value in values) or (
        isinstance(first, Foreign) and all(isinstance(value, Foreign) for value in values)
    ):
        return first
    names = [_name(value, offset + i * SECTOR) for i, value in enumerate(values)]
    return Torn(_runs(names, "sector"))


def _sector(sector: bytes, offset: int, run: str, cell_size: int) -> Unit:
    if sector == bytes(SECTOR):
        return ZERO
    first = sector[:LINE]
    if sector != first * _LINES:
        lines = [sector[i : i + LINE] for i in range(0, SECTOR, LINE)]
        origins = [_origin(line, cell_size) for line in lines]
        if any(_LAYOUT.fullmatch(line) for line in lines):
            return Torn(_runs([_origin_name(origin) for origin in origins], "line"))
        return Foreign(first[:16].hex(" "))
    origin = _origin(first, cell_size)
    if isinstance(origin, tuple):
        label, written_at, its_run = origin
        if its_run != run:
            return Foreign(f"run {its_run}, layer {label}, byte {written_at}")
        return Written(label) if written_at == offset else Shifted(label, written_at, written_at // cell_size)
    return origin


def _origin(line: bytes, cell_size: int) -> tuple[str, int, str] | Blank | Foreign:
    """Label, byte and run that a line names."""
    if line == bytes(LINE):
        return ZERO
    match = _LAYOUT.fullmatch(line)
    if match is None:
        return Foreign(line[:16].hex(" "))
    label, written_at, run = match[1].decode(), int(match[3]), match[4].decode()
    if line != _line(label, run, written_at, cell_size):
        return Foreign(line.decode().strip())
    return label, written_at, run


def _origin_name(origin: tuple[str, int, str] | Blank | Foreign) -> str:
    match origin:
        case (label, written_at, run):
            return f"layer {label} of byte {written_at}, run {run}"
        case Foreign(what):
            return f"foreign ({what})"
        case _:
            return "zero"


def _name(value: Unit, offset: int) -> str:
    """Name a sector read at byte `offset`, alike for sectors that were moved together."""
    match value:
        case Written(label):
            return f"layer {label}"
        case Shifted(label, from_offset, _):
            return f"layer {label} written {from_offset - offset:+d} bytes away"
        case Foreign(what):
            return f"foreign ({what})"
        case Torn(what):
            return f"torn ({what})"
        case _:
            return "zero"


def _runs(names: list[str], noun: str) -> str:
    """Name the consecutive things that are alike: "lines 0-3 zero, line 4 foreign ..."."""
    runs: list[str] = []
    start = 0
    for end in range(1, len(names) + 1):
        if end == len(names) or names[end] != names[start]:
            where = f"{noun} {start}" if end - start == 1 else f"{noun}s {start}-{end - 1}"
            runs.append(f"{where} {names[start]}")
            start = end
    return ", ".join(runs)
