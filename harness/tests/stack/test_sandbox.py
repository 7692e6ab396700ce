from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import Ailing
from harness.process import NOWHERE
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import BUSYBOX, Isolation, Sandbox
from harness.waiting import NotYet, now, wait_until


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(RunDirectory(tmp_path), Isolation()) as running:
        yield running


@pytest.mark.parametrize(
    ("command", "status"),
    [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", -signal.SIGTERM), ("kill -KILL $$", -signal.SIGKILL)],
)
def test_a_command_inside_ends_outside_as_it_ended(sandbox: Sandbox, command: str, status: int) -> None:
    assert sandbox.run([BUSYBOX, "sh", "-c", command], timeout=10).exit_status == status


def test_what_is_said_inside_is_heard_and_what_is_given_is_read(sandbox: Sandbox) -> None:
    done = sandbox.run([BUSYBOX, "sh", "-c", 'cat; echo "$1" >&2', "sh", "a b"], timeout=10, input_bytes=b"given")

    assert (done.stdout, done.stderr) == ("given", "a b\n")


def test_a_program_that_is_not_there_is_status_127(sandbox: Sandbox) -> None:
    assert sandbox.run(["/nowhere"], timeout=10).exit_status == 127


def test_a_command_that_has_stopped_does_not_hold_up_the_end(sandbox: Sandbox) -> None:
    child = sandbox.spawn([BUSYBOX, "sh", "-c", "kill -STOP $$"], stdout=NOWHERE, stderr=NOWHERE)
    sandbox.run([BUSYBOX, "sh", "-c", f"until {BUSYBOX} grep -q 'State:.T' /proc/*/status; do :; done"], timeout=10)

    began = now()
    sandbox.close()

    assert now() - began < 2
    assert child.wait(2) == -signal.SIGKILL
    assert child.stdin is not None
    child.stdin.close()


def test_a_sandbox_whose_first_process_has_stopped_is_killed_and_told(sandbox: Sandbox) -> None:
    os.kill(sandbox.pid, signal.SIGSTOP)
    with pytest.raises(Ailing, match="the first process of the sandbox has stopped"):
        sandbox.close()

    wait_until("all inside to be gone", lambda: _gone(Path(f"/proc/{sandbox.pid}/root/chainproof")), 5)
    assert not sandbox.directory.exists()


def test_how_an_orphan_has_ended_is_known(sandbox: Sandbox) -> None:
    """As QEMU is one: its parent, libvirtd's, is gone when it begins."""
    orphans = {"kill -SEGV $$": -signal.SIGSEGV, "exit 3": 3}
    for script, status in orphans.items():
        start = f"({BUSYBOX} setsid {BUSYBOX} sh -c 'echo $$; {script}' &)"
        pid = int(sandbox.run([BUSYBOX, "sh", "-c", start], timeout=10).stdout)
        assert wait_until("it to be reaped", lambda pid=pid: _reaped(sandbox, pid), 10) == status  # type: ignore[misc]
    assert sandbox.exit_status(9999, 0) is None
    assert sandbox.exit_status(pid, len(sandbox.ends())) is None


def test_a_command_is_not_waited_for_when_the_sandbox_is_ill(sandbox: Sandbox) -> None:
    child = sandbox.spawn([BUSYBOX, "sleep", "600"], stdout=NOWHERE, stderr=NOWHERE)
    os.kill(sandbox.pid, signal.SIGSTOP)
    with pytest.raises(Ailing, match=r"waiting for .* sleep 500"):
        sandbox.run([BUSYBOX, "sleep", "500"], timeout=60)
    with pytest.raises(Ailing):
        sandbox.close()
    assert child.wait(5) == -signal.SIGKILL
    assert child.stdin is not None
    child.stdin.close()


def _gone(path: Path) -> None:
    if path.exists():
        raise NotYet(f"{path} is there")


def _reaped(sandbox: Sandbox, pid: int) -> int:
    status = sandbox.exit_status(pid, 0)
    if status is None:
        raise NotYet("it is not")
    return status
