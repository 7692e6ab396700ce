"""What runs in the VM: it writes markers to the disk, reads the disk, and says whether it is still the same boot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

from harness.errors import AgentError
from harness.journal import Kind
from harness.oracle import pattern
from harness.oracle.content import Content
from harness.oracle.geometry import Range
from harness.vm.agent import Agent
from harness.vm.disk_port import DiskPort
from harness.vm.guest_host import guest_host
from harness.waiting import NotYet, wait_until, wall_clock

_WRITER = "/root/written"
_WRITE_FOREVER = f"""
cd {_WRITER}
n=0
until [ -e /tmp/stop ]; do
    n=$((n + 1))
    seq $n $((n + 500)) >f.$n
    md5sum f.$n >>sums
    sync
done
touch /tmp/stopped
"""

if TYPE_CHECKING:
    from testinfra.host import Host

    from harness.vm.domain import Domain


class Guest:
    """The running guest of a domain. Reads and writes of the disk are O_DIRECT and flushed: never its page cache."""

    def __init__(self, domain: Domain, agent: Agent, port: DiskPort, *, restored: bool = False) -> None:
        self.agent = agent
        self._domain = domain
        self._port = port
        # one that was restored woke up where many others did: its clock stands, its random numbers are theirs
        self._boot = port.adjust(round(wall_clock())) if restored else port.boot_id()

    def close(self) -> None:
        """Let go of the guest; it runs on."""
        self._port.close()

    def run(self, script: str, *, input_bytes: bytes = b"", timeout: float = 60) -> bytes:
        """The standard output of a shell script in the guest. Raises AgentError if it ends with a status not 0."""
        ended = self.agent.execute(script, input_bytes=input_bytes, timeout=timeout)
        if ended.exit_status != 0:
            words = ended.stderr.decode(errors="replace").strip()
            raise AgentError("guest-exec", f"exit status {ended.exit_status} from: {script}\n{words}")
        return ended.stdout

    def boot_id(self) -> str:
        """The kernel's random name of this boot."""
        return self._port.boot_id()

    def same_boot(self) -> bool:
        """True if the guest has not rebooted since it was first reached: "live" is the claim."""
        return self.boot_id() == self._boot

    @cached_property
    def host(self) -> Host:
        """pytest-testinfra's view of this guest."""
        return guest_host(self._domain.name, self.agent.execute)

    def start_writer(self) -> None:
        """Have the guest write files, each with its checksum in a list, and flush, until `stop_writer`."""
        self.run(f"mkdir -p {_WRITER}; rm -f /tmp/stop /tmp/stopped; setsid sh -c '{_WRITE_FOREVER}' >/dev/null 2>&1 &")
        self._domain.journal.record(Kind.GUEST, "begins to write files, and goes on until it is stopped")
        self.wait_written()

    def written(self) -> int:
        """How many files the writer has written and flushed so far."""
        return int(self.run(f"wc -l <{_WRITER}/sums || echo 0"))

    def wait_written(self) -> None:
        """Wait until the writer has got on, from where it is now."""
        start = self.written()

        def more() -> None:
            if self.written() <= start:
                raise NotYet(f"it has written {start} files")

        wait_until("the guest's writer to go on", more, timeout=30, interval=0.05)

    def stop_writer(self) -> int:
        """Stop the writer and return how many files it wrote."""
        self.run("touch /tmp/stop; until [ -e /tmp/stopped ]; do usleep 20000; done", timeout=30)
        count = self.written()
        self._domain.journal.record(Kind.GUEST, f"has written {count} files, and stops")
        return count

    def check_written(self) -> int:
        """Read every file of the writer's back from the disk, caches dropped, and return how many are whole.

        Raises AgentError, with the names, if a file is lost or is not what was written.
        """
        checked = self.run(f"sync; echo 3 >/proc/sys/vm/drop_caches; cd {_WRITER} && md5sum -c sums 2>&1")
        return checked.decode().count(": OK")

    def freeze(self) -> int:
        """Freeze the guest's file systems (guest-fsfreeze-freeze) and return how many; after it, nothing else works."""
        count = self.agent.command("guest-fsfreeze-freeze")["value"]
        assert isinstance(count, int)
        self._domain.journal.record(Kind.GUEST, f"has frozen {count} file systems")
        return count

    def write_marker(self, label: str, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> None:
        """Write layer `label`'s marker into whole `cells` and byte `ranges` of vda, and flush it to the image.

        This, zeros and discards are entered in the journal, and the disk's oracle is told.
        """
        disk = self._domain.disk

        def write(stretches: list[Range]) -> None:
            data = pattern.marker(label, disk.run, stretches, disk.content.geometry.cell_size)
            self._port.write(stretches, data)

        self._act(f"writes {label} into", write, partial(disk.content.write, label), cells, ranges)

    def zero(self, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> None:
        """Write zeros to vda by the device's own command (BLKZEROOUT), and flush."""
        self._act("writes zeros to", self._port.zero, self._domain.disk.content.zero, cells, ranges)

    def discard(self, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> None:
        """Discard on vda (BLKDISCARD), and flush."""
        self._act("discards", self._port.discard, self._domain.disk.content.discard, cells, ranges)

    def read_disk(self, length: int) -> bytes:
        """The first `length` bytes of vda as the guest's device gives them now.

        The disk is flushed before: unflushed metadata is in QEMU's cache only, and images that are read from outside
        would seem corrupt.
        """
        return self._port.read(length)

    def flush(self) -> None:
        """Flush the disk, so that its images can be read from outside: QEMU keeps qcow2 metadata until then."""
        self._port.flush()

    def _act(
        self,
        said: str,
        do: Callable[[list[Range]], None],
        told: Callable[[Sequence[int], Sequence[Range]], Content],
        cells: Iterable[int],
        ranges: Iterable[Range],
    ) -> None:
        """Have the guest `do` it, tell the oracle (`told` is the content after it), and enter it in the journal."""
        disk = self._domain.disk
        cells, ranges = sorted(set(cells)), tuple(ranges)
        do(disk.content.geometry.stretches(cells, ranges))
        disk.content = told(cells, ranges)
        places = [f"cells {', '.join(str(cell) for cell in cells)}"] if cells else []
        places += [f"{length} bytes at {offset}" for offset, length in ranges]
        self._domain.journal.record(Kind.GUEST, f"{said} {' and '.join(places)} of {disk.target}")
