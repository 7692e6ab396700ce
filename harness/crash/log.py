"""What the recorder has logged: every call with its bytes, its begin and its end, in order."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from harness.errors import ChainproofError

MAGIC = 0x31524350
_HEADER = struct.Struct("<IHHqqiiqqqIIII")
_DURABLE = 2 | 4  # RWF_DSYNC and RWF_SYNC, pwritev2(2)
_KEEP_SIZE = 1  # fallocate(2)
BEGINS, ENDED, BOTH = range(3)


class RecordingFailed(ChainproofError):
    """What was recorded is not what was done: an error of the harness, no finding."""


class Op(IntEnum):
    """What a call does, as recorder.c numbers it."""

    WRITE = 1
    FLUSH = 2
    DISCARD = 3
    ZERO = 4
    ALLOCATE = 5
    TRUNCATE = 6
    CREATE = 7
    UNLINK = 8
    RENAME = 9
    ODD = 10


CHANGES_BYTES = frozenset({Op.WRITE, Op.DISCARD, Op.ZERO, Op.ALLOCATE, Op.TRUNCATE})


@dataclass(frozen=True, slots=True)
class Call:
    """One call that succeeded: `number` counts them in the order in which they began.

    `began` and `ended` are in ns of CLOCK_MONOTONIC; `ended` is None of one that its process has not survived. Paths
    are those inside the sandbox; `other` is what a file was renamed to. `offset` and `length` are in bytes; the length
    of a truncation is the file's new size. `is_durable` without a flush; `keeps_size` of the file.
    """

    number: int
    op: Op
    path: str
    began: int
    ended: int | None
    offset: int = 0
    length: int = 0
    data: bytes = b""
    other: str = ""
    process: int = 0
    is_durable: bool = False
    keeps_size: bool = False

    @property
    def end(self) -> int:
        """The byte of the file after the last one that it is about."""
        return self.offset + self.length

    def apply(self, content: bytearray) -> None:
        """Do to the content of a file what the call did."""
        if self.op is Op.TRUNCATE:
            del content[self.length :]
            content.extend(bytes(self.length - len(content)))
            return
        if len(content) < self.end and not self.keeps_size:
            content.extend(bytes(self.end - len(content)))
        if self.op is Op.WRITE:
            content[self.offset : self.end] = self.data
        elif self.op in (Op.DISCARD, Op.ZERO):
            end = min(self.end, len(content))
            content[self.offset : end] = bytes(max(0, end - self.offset))

    def __str__(self) -> str:
        name = self.path.rpartition("/")[2]
        if self.op in (Op.FLUSH, Op.CREATE, Op.UNLINK):
            return f"{self.op.name.lower()} {name}"
        if self.op is Op.RENAME:
            return f"rename {name} to {self.other.rpartition('/')[2]}"
        if self.op is Op.TRUNCATE:
            return f"truncate {name} to {self.length} bytes"
        return f"{self.op.name.lower()} {self.length} bytes at {self.offset} of {name}"


class _Record(NamedTuple):
    kind: int
    phase: int
    began: int
    ended: int
    process: int
    thread: int
    offset: int
    length: int
    result: int
    flags: int
    path: str
    other: str
    data: bytes


def read_calls(log: bytes) -> list[Call]:
    """The calls in a log that succeeded, in the order in which they began. Raises RecordingFailed if it is no log."""
    begun: dict[tuple[int, int, int], _Record] = {}
    found: list[tuple[_Record, _Record | None]] = []
    for record in _records(log):
        key = record.process, record.thread, record.began
        if record.phase == BEGINS:
            begun[key] = record
        elif record.phase == BOTH:
            found.append((record, record))
        elif key in begun:
            found.append((begun.pop(key), record))
        else:
            raise RecordingFailed(f"the log has the end of a call on {record.path}, and not its begin")
    found += [(record, None) for record in begun.values()]
    found.sort(key=lambda pair: pair[0].began)
    calls = [_call(number, *pair) for number, pair in enumerate(found) if pair[1] is None or pair[1].result >= 0]
    odd = next((call for call in calls if call.op is Op.ODD), None)
    if odd is not None:
        raise RecordingFailed(f"a call on {odd.path} that the model does not know")
    return calls


def _records(log: bytes) -> Iterator[_Record]:
    at = 0
    while at < len(log):
        try:
            magic, *fields, path_length, other_length, data_length = _HEADER.unpack_from(log, at)
        except struct.error:
            raise RecordingFailed(f"the log breaks off at byte {at}") from None
        if magic != MAGIC:
            raise RecordingFailed(f"byte {at} of the log begins no record")
        at += _HEADER.size
        pieces = []
        for length in (path_length, other_length, data_length):
            pieces.append(log[at : at + length])
            at += length
        if at > len(log):
            raise RecordingFailed("the log breaks off in its last record")
        path, other, data = pieces
        yield _Record._make([*fields, path.decode(errors="replace"), other.decode(errors="replace"), data])


def _call(number: int, begins: _Record, ended: _Record | None) -> Call:
    op = Op(begins.kind)
    data, length = begins.data, begins.length
    if op is Op.WRITE and ended is not None:
        data = (data or ended.data)[: ended.result]  # what the kernel copied is known at the end only
        length = ended.result
        if len(data) != length:
            raise RecordingFailed(f"of a write of {length} bytes to {begins.path} the log has {len(data)}")
    return Call(
        number,
        op,
        begins.path,
        begins.began,
        None if ended is None else ended.ended,
        begins.offset,
        length,
        data,
        begins.other,
        begins.process,
        is_durable=op is Op.WRITE and bool(begins.flags & _DURABLE),
        keeps_size=op in (Op.DISCARD, Op.ZERO, Op.ALLOCATE) and bool(begins.flags & _KEEP_SIZE),
    )


def settled(calls: list[Call], last: dict[str, bytes]) -> list[Call]:
    """`calls` without the doubt about those whose process was killed in them: they happened, or they did not.

    One has happened if its bytes are in the `last` content of its file, or if others have been written there since.
    """
    found = []
    for call in calls:
        if call.ended is not None:
            found.append(call)
        elif call.op is Op.WRITE and call.data and (_is_in(call, last) or _is_hidden(call, calls)):
            found.append(replace(call, ended=call.began + 1))
    return found


def _is_in(call: Call, last: dict[str, bytes]) -> bool:
    return last.get(call.path, b"")[call.offset : call.end] == call.data


def _is_hidden(call: Call, calls: list[Call]) -> bool:
    """Whether a later write has covered some of it: then nobody can tell any more."""
    later = (other for other in calls if other.number > call.number and other.path == call.path)
    return any(other.op in CHANGES_BYTES and other.offset < call.end and call.offset < other.end for other in later)
