"""Storage that misbehaves under a running QEMU: its reads, writes, flushes or discards of an image fail, or hang."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

from harness.acts.calls import Fault
from harness.waiting import NotYet, wait_until

SOURCE = Path(__file__).resolve().with_name("storage_faults.c")
"""What fails them, as a preload."""
_FAULTS, _HITS = "faults", "faults.hits"
_TIMEOUT = 60.0


def spelt(fault: Fault) -> str:
    """A fault as the preload reads it, but for its number."""
    number = 0 if fault.error == "stall" else getattr(errno, fault.error)
    return f"{fault.operation} {fault.name} {fault.first} {fault.last} {number} {fault.times}"


class StorageFaults:
    """The faults of the images of a daemon with the preload, which writes to the directory `record`."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._faults: dict[int, Fault] = {}
        self._numbered = 0

    def put(self, fault: Fault) -> None:
        """Have one more, from now on."""
        self._numbered += 1
        self._faults[self._numbered] = fault
        self._write()

    def heal(self) -> None:
        """All is well from now on: what waits goes on."""
        self._faults.clear()
        self._write()

    def await_hit(self) -> None:
        """Wait until something has met each fault. Raises WaitTimeout."""
        numbers = set(self._faults)

        def met() -> None:
            if missing := numbers - {number for number, *_ in self.hits()}:
                raise NotYet("nothing has met " + ", ".join(str(self._faults[number]) for number in sorted(missing)))

        wait_until("the faults of storage to be met", met, _TIMEOUT, interval=0.005)

    def hits(self) -> Sequence[tuple[int, str, int, int]]:
        """What has met faults, in order: the number of the fault, the operation, the place and the length in bytes."""
        file = self._record / _HITS
        lines = file.read_text().splitlines() if file.exists() else []
        words = [line.split() for line in lines]
        return [(int(number), operation, int(at), int(length)) for number, operation, at, length in words]

    def close(self) -> None:
        """Heal, and forget what has met faults."""
        for name in (_FAULTS, _HITS):
            (self._record / name).unlink(missing_ok=True)
        self._faults.clear()

    def _write(self) -> None:
        if not self._record.is_dir():
            raise ValueError("this daemon's QEMUs are not loaded with faults: mark the scenario (ill_storage)")
        made = self._record / f"{_FAULTS}.new"
        made.write_text("".join(f"{number} {spelt(fault)}\n" for number, fault in self._faults.items()))
        made.rename(self._record / _FAULTS)
