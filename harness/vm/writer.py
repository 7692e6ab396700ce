"""A writer of files in the guest: it works on in the background, and what it wrote can be checked."""

from __future__ import annotations

from harness.vm.agent import Agent
from harness.waiting import NotYet, wait_until

_DIRECTORY = "/root/written"
_WRITE_FOREVER = f"""
cd {_DIRECTORY}
n=0
until [ -e /tmp/stop ]; do
    n=$((n + 1))
    seq $n $((n + 500)) >f.$n
    md5sum f.$n >>sums
    sync
done
touch /tmp/stopped
"""
START = f"mkdir -p {_DIRECTORY}; rm -f /tmp/stop /tmp/stopped; setsid sh -c '{_WRITE_FOREVER}' >/dev/null 2>&1 &"
"""Has the guest write files, each with its checksum in a list, and flush, until STOP."""
STOP = "touch /tmp/stop; until [ -e /tmp/stopped ]; do usleep 20000; done"
_CHECK = f"sync; echo 3 >/proc/sys/vm/drop_caches; cd {_DIRECTORY} && md5sum -c sums 2>&1"


def written(agent: Agent) -> int:
    """How many files the writer has written and flushed so far."""
    return int(agent.run(f"wc -l <{_DIRECTORY}/sums || echo 0"))


def await_written(agent: Agent) -> None:
    """Wait until the writer has got on, from where it is now."""
    start = written(agent)

    def more() -> None:
        if written(agent) <= start:
            raise NotYet(f"it has written {start} files")

    wait_until("the guest's writer to go on", more, timeout=30, interval=0.05)


def check_written(agent: Agent) -> int:
    """Read every file of the writer's back from the disk, caches dropped, and return how many are whole.

    Raises AgentError, with the names, if a file is lost or is not what was written.
    """
    return agent.run(_CHECK).decode().count(": OK")
