"""Python in a process namespace of its own, as in another container, where none of our pids means anything."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from harness.detect.inner_run import ROOT
from harness.process import Child, Completed, read_until, run, spawn, wait
from harness.waiting import scaled

_NAMESPACE = ("bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc")


def told_elsewhere(program: str, *arguments: object) -> Completed:
    """The end of a program that runs elsewhere."""
    return run([*_NAMESPACE, sys.executable, "-c", program, *map(str, arguments)], timeout=30, directory=ROOT)


@contextmanager
def living_elsewhere(program: str, *arguments: object) -> Iterator[tuple[Child, str]]:
    """A program that prints a line, and lives elsewhere until we are done: its process here, and the line."""
    child = spawn([*_NAMESPACE, sys.executable, "-uc", program, *map(str, arguments)], directory=ROOT)
    try:
        assert child.stdout is not None
        line = read_until(child.stdout.fileno(), b"\n", "the program's line", seconds=scaled(20))
        yield child, line.decode().strip()
    finally:
        assert child.stdin is not None
        child.stdin.close()
        wait(child, "the program to end by itself", timeout=10)  # terminated, its keeper would be killed with it
        for stream in (child.stdout, child.stderr):
            assert stream is not None
            stream.close()
