from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.detect.inner_run import MARK
from harness.detect.leftovers import leftovers
from harness.process import Child, end, spawn
from harness.waiting import NotYet, wait_until


@contextmanager
def left(command: Sequence[str], **environment: str) -> Iterator[Child]:
    """A process that a run might leave: it ends when it is told to."""
    child = spawn(command, environment={**os.environ, **environment})
    try:
        yield child
    finally:
        end(child, timeout=5)


def seen(mark: str, work: Path, wanted: str) -> None:
    found = leftovers(mark, work)
    if not any(wanted in line for line in found):
        raise NotYet(str(found))


def test_a_process_of_the_run_that_lives_on_is_found(tmp_path: Path) -> None:
    mark = f"{tmp_path}-1"  # of no other run on this machine
    with left(["cat"], **{MARK: mark}) as child:
        wait_until("the process to be found", lambda: seen(mark, tmp_path, f"process {child.pid}"), timeout=5)
        assert leftovers(f"{tmp_path}-2", tmp_path) == []
    assert leftovers(mark, tmp_path) == []


def test_a_process_that_has_the_work_directory_mounted_is_found(tmp_path: Path) -> None:
    # at its own path, as sandboxes have it: what is mounted is told as it lies in its file system, which may be its own
    inside = ["bwrap", "--dev-bind", "/", "/", "--bind", str(tmp_path), str(tmp_path), "cat"]
    with left(inside):
        wait_until("the process to be found", lambda: seen("no mark", tmp_path, ": cat"), timeout=5)


def test_a_process_that_names_the_work_directory_is_found(tmp_path: Path) -> None:
    with left(["tail", "-f", "/dev/null", str(tmp_path)]) as child:
        wait_until("the process to be found", lambda: seen("no mark", tmp_path, f"process {child.pid}"), timeout=5)


def test_a_file_of_any_kind_is_found(tmp_path: Path) -> None:
    (tmp_path / "run-1").mkdir()
    os.mkfifo(tmp_path / "run-1" / "pipe")

    assert leftovers("no mark", tmp_path) == [f"file {tmp_path}/run-1", f"file {tmp_path}/run-1/pipe"]
