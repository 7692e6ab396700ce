"""What runs in the VM: it writes markers to the disk, reads the disk, and says whether it is still the same boot."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from harness.errors import AgentError
from harness.journal import Kind
from harness.layers import pattern
from harness.vm.agent import Agent

if TYPE_CHECKING:
    from harness.vm.domain import Domain


class Guest:
    """The running guest of a domain. Reads and writes of the disk are O_DIRECT and flushed: never its page cache."""

    def __init__(self, domain: Domain, agent: Agent) -> None:
        self.agent = agent
        self._domain = domain
        self._boot = self.boot_id()

    def run(self, script: str, *, input_bytes: bytes = b"", timeout: float = 60) -> bytes:
        """The standard output of a shell script in the guest. Raises AgentError if it ends with a status not 0."""
        ended = self.agent.execute(script, input_bytes=input_bytes, timeout=timeout)
        if ended.exit_status != 0:
            words = ended.stderr.decode(errors="replace").strip()
            raise AgentError("guest-exec", f"exit status {ended.exit_status} from: {script}\n{words}")
        return ended.stdout

    def boot_id(self) -> str:
        """The kernel's random name of this boot."""
        return self.run("cat /proc/sys/kernel/random/boot_id").decode().strip()

    def same_boot(self) -> bool:
        """True if the guest has not rebooted since it was first reached: "live" is the claim."""
        return self.boot_id() == self._boot

    def write_marker(self, label: str, cells: Iterable[int]) -> None:
        """Write layer `label`'s marker into whole `cells` of vda, and flush it to the image.

        It is entered in the journal, and the disk's oracle is told.
        """
        disk = self._domain.disk
        size = disk.content.geometry.cell_size
        wanted = sorted(set(cells))
        data, script = b"", ["gunzip -c >/tmp/marker"]
        skip = 0
        for first, count in _runs(wanted):
            data += pattern.fill(label, disk.run, first * size, count * size, size)
            script.append(
                f"dd if=/tmp/marker of=/dev/{disk.target} bs={size} skip={skip} seek={first} count={count}"
                " oflag=direct conv=notrunc,fsync 2>/dev/null"
            )
            skip += count
        # packed, for the agent's sake: given some 300 KB of input at once, it may not answer again
        self.run("\n".join(["set -e", *script, "rm /tmp/marker"]), input_bytes=gzip.compress(data, 1))
        disk.content = disk.content.write(label, cells=tuple(wanted))
        where = ", ".join(str(cell) for cell in wanted)
        self._domain.journal.record(Kind.GUEST, f"writes {label} into cells {where} of {disk.target}")

    def read_disk(self) -> bytes:
        """Every byte of vda as the guest's device gives it now."""
        disk = self._domain.disk
        packed = self.run(f"dd if=/dev/{disk.target} iflag=direct bs=1M 2>/dev/null | gzip -1 -c")
        return gzip.decompress(packed)

    def flush(self) -> None:
        """Flush the disk, so that its images can be read from outside: QEMU keeps qcow2 metadata until then."""
        self.run(f"dd if=/dev/null of=/dev/{self._domain.disk.target} conv=notrunc,fsync 2>/dev/null")


def _runs(cells: list[int]) -> Iterator[tuple[int, int]]:
    """(first, count) of each run of consecutive cells."""
    start = 0
    for index in range(1, len(cells) + 1):
        if index == len(cells) or cells[index] != cells[index - 1] + 1:
            yield cells[start], index - start
            start = index
