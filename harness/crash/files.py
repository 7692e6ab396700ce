"""The files of a recording as a model: what of each is durable, what is pending, and what a power loss may leave.

After what kernels promise: durable is what had ended when a successful flush of the same file began; of the rest any
subset survives, later calls of a sector win. A name is made, changed and removed at once: a kernel promises that only
after a flush of the directory, which libvirt never asks for, so that after a power loss the former definition may be
back: a documented limit, of which nothing is told here. Whole calls survive or do not: one that is torn at a sector
shows no more than a header whose name of the backing file is cut, which is no fault of QEMU's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from harness.crash.log import CHANGES_BYTES, Call, Op, RecordingFailed
from harness.errors import ImageError
from harness.readers.extents import Extent, Kind, OpenFile

LAST = 16
"""Of more pending calls than these, not each is lost alone again and again."""

Applied = tuple[int, ...]
"""The numbers of the pending calls of one file that survive."""


class Inode:
    """One file, whatever its names: `durable` is its content, of which `pending` calls are not yet a part.

    `version` counts the changes of `durable`.
    """

    def __init__(self, number: int, content: bytes) -> None:
        self.number = number
        self.durable = bytearray(content)
        self.version = 0
        self.pending: list[Call] = []

    def settle(self, calls: Sequence[Call]) -> None:
        """Make pending calls durable."""
        if not calls:
            return
        for call in sorted(calls, key=_order):
            call.apply(self.durable)
        gone = {call.number for call in calls}
        self.pending = [call for call in self.pending if call.number not in gone]
        self.version += 1

    def applied(self, survivors: Collection[int]) -> Applied:
        """Those of its pending calls that are among the `survivors`."""
        return tuple(call.number for call in self.pending if call.number in survivors)

    def surviving(self, applied: Collection[int]) -> list[Call]:
        """The calls of these numbers, in the order in which they take effect."""
        return sorted((call for call in self.pending if call.number in applied), key=_order)

    def content(self, applied: Collection[int]) -> bytes:
        """The whole file if the pending calls of these numbers survive."""
        content = bytearray(self.durable)
        for call in self.surviving(applied):
            call.apply(content)
        return bytes(content)


def _order(call: Call) -> tuple[int, int]:
    """Of calls that overlap in time none is first; where they overlap in place, too, QEMU waits for the one."""
    assert call.ended is not None
    return call.ended, call.number


class Directory:
    """The files by name at one moment, from those that there were in the beginning (path to content).

    `removed` are the paths that are gone.
    """

    def __init__(self, first: Mapping[str, bytes]) -> None:
        self.names = {path: Inode(number, content) for number, (path, content) in enumerate(sorted(first.items()))}
        self.removed: set[str] = set()
        self._made = len(first)
        self._of: dict[int, Inode] = {}  # which file each call that is on is about

    def begins(self, call: Call) -> bool:
        """A call begins: from now on it may survive. Whether that makes a difference."""
        if call.op not in CHANGES_BYTES and call.op is not Op.FLUSH:
            return False
        inode = self.names.get(call.path)
        if inode is None:
            if call.path.endswith(" (deleted)"):  # as /proc has it: what is written there nobody can read
                return False
            raise RecordingFailed(f"there is no file for: {call}")
        self._of[call.number] = inode
        if call.op is Op.FLUSH:
            return False
        inode.pending.append(call)
        return True

    def ends(self, call: Call) -> bool:
        """A call has ended: what it flushed is durable, what it did to names is done. Whether that is a difference."""
        match call.op:
            case Op.CREATE:
                self.names[call.path] = Inode(self._made, b"")
                self._made += 1
                self.removed.discard(call.path)
            case Op.UNLINK:
                self._remove(call.path)
            case Op.RENAME:
                self._rename(call)
            case _:
                return self._changed(call)
        return True

    def _remove(self, path: str) -> None:
        if self.names.pop(path, None) is not None:
            self.removed.add(path)  # else a link, or a directory

    def _rename(self, call: Call) -> None:
        if call.path in self.names:
            self.names[call.other] = self.names.pop(call.path)
            self.removed.discard(call.other)

    def _changed(self, call: Call) -> bool:
        inode = self._of.pop(call.number, None)
        if inode is None:
            return False
        if call.op is Op.FLUSH:
            done = [other for other in inode.pending if other.ended is not None and other.ended <= call.began]
        else:
            done = [call] if call.is_durable else []
        inode.settle(done)
        return bool(done)


def events(calls: Iterable[Call]) -> Iterator[tuple[int, bool, Call]]:
    """The begin and the end of each call, in order: when, whether it begins, and the call."""
    found = [(call.began, True, call) for call in calls]
    found += [(call.ended, False, call) for call in calls if call.ended is not None]
    # at one moment, ends before begins: what had ended when a flush began is durable
    return iter(sorted(found, key=lambda event: (event[0], event[1], event[2].number)))


def require_complete(first: Mapping[str, bytes], calls: Sequence[Call], last: Mapping[str, bytes], below: str) -> None:
    """The self-check: the first files and all calls make the last files, byte for byte but for zeros at the end.

    Of files `below` this directory. Raises RecordingFailed.
    """
    directory = Directory(first)
    for _, begins, call in events(calls):
        if begins:
            directory.begins(call)
        else:
            directory.ends(call)
    made = {path: inode for path, inode in directory.names.items() if path.startswith(below)}
    if made.keys() != last.keys():
        raise RecordingFailed(f"recorded were {', '.join(sorted(made))}; there are {', '.join(sorted(last))}")
    for path, inode in made.items():
        content = inode.content({call.number for call in inode.pending}).rstrip(b"\0")
        if content != last[path].rstrip(b"\0"):
            at = next((n for n, (a, b) in enumerate(zip(content, last[path], strict=False)) if a != b), len(content))
            raise RecordingFailed(f"{path} is not what was recorded of it, from byte {at} on")


class Surviving(OpenFile):
    """A file as a power loss leaves it, for readers: what is durable of it, and calls that survive, laid over that.

    Where a call that would have made it larger is lost, zeros are read, as by QEMU.
    """

    def __init__(self, image: str, inode: Inode, applied: Applied) -> None:
        self.image = image
        self.descriptor = -1
        self._over = inode.surviving(applied) if applied else []
        self._below = inode.durable
        if any(call.op is not Op.WRITE for call in self._over):
            self._below, self._over = bytearray(inode.content(applied)), []
        self.size = max([len(self._below), *(call.end for call in self._over)])
        self.taken = self.size
        self._most = max([self.size, *(call.end for call in inode.pending)])

    def refuse_beyond(self, end: int, what: str) -> None:
        """Raise ImageError if the file ends before byte `end`."""
        if end > self._most:
            raise ImageError(self.image, f"{what} reaches to byte {end}, beyond the end of the file at {self.size}")

    def holes(self) -> Iterator[Extent]:
        """All of it is data: zeros read alike."""
        yield Extent(0, self.size, Kind.DATA)

    def _pread(self, length: int, offset: int) -> bytes:
        end = min(offset + length, self._most)
        over = [call for call in self._over if call.offset < end and offset < call.end]
        if not over:
            return bytes(self._below[offset:end]).ljust(end - offset, b"\0")
        last = over[-1]
        if last.offset <= offset and end <= last.end:
            return last.data[offset - last.offset : end - last.offset]
        piece = bytearray(self._below[offset:end])
        piece.extend(bytes(end - offset - len(piece)))
        for call in over:
            start, stop = max(call.offset, offset), min(call.end, end)
            piece[start - offset : stop - offset] = call.data[start - call.offset : stop - call.offset]
        return bytes(piece)


def subsets(pending: Sequence[int]) -> Iterator[frozenset[int]]:
    """Which of `pending` calls survive a power loss: all (QEMU is killed), none, all but one, one, the first ones.

    Those are what found everything that any subset did, where that was measured. Each once. Of many calls, the one that
    is lost or survives alone, and the end of the first ones, are among the LAST: each was among those when it began.
    """
    everything = frozenset(pending)
    last = pending[-LAST:]
    begin = len(pending) - len(last)
    seen: set[frozenset[int]] = set()
    for survivors in (
        everything,
        frozenset[int](),
        *(everything - {one} for one in last),
        *(frozenset({one}) for one in last),
        *(frozenset(pending[:count]) for count in range(max(2, begin), len(pending) - 1)),
    ):
        if survivors not in seen:
            seen.add(survivors)
            yield survivors
