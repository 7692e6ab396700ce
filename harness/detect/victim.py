"""A program that is killed at a named instant, in the middle of what it does: to see what it leaves.

`python -m harness.detect.victim INSTANT SECONDS WORK`; SECONDS after it starts the child process that the instant is
about, it kills itself with SIGKILL. What it needs besides lies beside WORK.
"""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from harness.detect.inner_run import MARK, SCENARIO, start_inner_run
from harness.process import run, wait
from harness.readers.file_system import check_ext4
from harness.settings import default_cache
from harness.stack.enclosed import run_enclosed
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import BUSYBOX, Isolation, Sandbox

_SLEEP = ("sleep", "600")


def _sandbox(work: Path) -> Sandbox:
    return Sandbox(RunDirectory(work), Isolation(environment={MARK: os.environ[MARK]}))


def _command(work: Path) -> None:
    run([*_SLEEP, str(work)], timeout=600)


def _run_inside(work: Path) -> None:
    with _sandbox(work) as sandbox:
        sandbox.run([BUSYBOX, *_SLEEP], timeout=600)


def _stop_inside(work: Path) -> None:
    """What runs inside stops; whoever waits for it out here must not stop with it."""
    with _sandbox(work) as sandbox:
        sandbox.run([BUSYBOX, "sh", "-c", f"kill -STOP $$; {BUSYBOX} sleep 600"], timeout=600)


def _build(work: Path) -> None:
    """As mmdebstrap does, it forks, and what it has forked is in a session of its own."""
    run_enclosed(["sh", "-c", "setsid sleep 600 & sleep 600; exit", str(work)], timeout=600, environment=os.environ)


def _check_file_system(work: Path) -> None:
    disk = work.with_name(f"{work.name}.ext4")
    while True:
        check_ext4(disk.read_bytes(), "the disk")


def _start_run(work: Path) -> None:
    pytests = {"TMPDIR": str(work.parent)}  # what pytest keeps is kept
    wait(start_inner_run("-n", "1", "--work-dir", str(work), SCENARIO, environment=pytests), "the run", timeout=600)


def _save_guest(work: Path) -> None:
    """A run in this process that finds no saved guest, and so saves one."""
    cache = work.with_name("cache")
    cache.mkdir(exist_ok=True)
    if not (cache / "images").exists():
        (cache / "images").symlink_to(default_cache().images)
    shutil.rmtree(cache / "warm", ignore_errors=True)  # one was saved before its victim died
    os.environ["CHAINPROOF_CACHE"] = str(cache)
    options = ["-n", "0", "-p", "no:cacheprovider", "--accel", "tcg", "--work-dir", str(work)]
    sys.argv = ["harness.run", "scenarios", *options, SCENARIO]
    runpy.run_module("harness.run", run_name="__main__")


INSTANTS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a command begins": ("setpriv", _command),
    "the keeper's first line": ("keeper", _run_inside),
    "a sandbox begins": ("bwrap", _run_inside),
    "a command enters a sandbox": ("nsenter", _run_inside),
    "a command in a sandbox stops": ("nsenter", _stop_inside),
    "a build begins": ("bwrap", _build),
    "a file system is checked": ("e2fsck", _check_file_system),
    "a guest is saved": ("/cache/warm/saved-", _save_guest),
    "an inner run": (sys.executable, _start_run),
}
"""By name: what of a command line tells the child whose start begins the count, and what is being done."""


def main(instant: str, seconds: str, work: str) -> None:
    """Do what the instant is about, and die in the middle of it."""
    word, act = INSTANTS[instant]
    counting = threading.Timer(float(seconds), os.kill, (os.getpid(), signal.SIGKILL))

    def begin(event: str, arguments: tuple[object, ...]) -> None:
        if event == "subprocess.Popen" and not counting.is_alive():
            command = arguments[1]
            if isinstance(command, list) and any(word in part for part in command):
                counting.start()

    sys.addaudithook(begin)
    act(Path(work))


if __name__ == "__main__":
    main(*sys.argv[1:])
