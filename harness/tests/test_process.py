from __future__ import annotations

from pathlib import Path

from harness.process import dying_with_us, run, spawn, wait


def test_a_command_whose_parent_is_gone_by_then_does_not_begin(tmp_path: Path) -> None:
    """As if we had died while setpriv was started: the parent that it finds is another one."""
    begun = tmp_path / "begun"
    child = spawn(["sh", "-c", '"$@"; exit $?', "sh", *dying_with_us(["touch", str(begun)])])

    assert wait(child, "the orphan to end", timeout=10) == 1
    assert not begun.exists()
    for stream in (child.stdin, child.stdout, child.stderr):
        assert stream is not None
        stream.close()


def test_a_command_whose_parent_is_there_begins(tmp_path: Path) -> None:
    run(["touch", str(tmp_path / "begun")], timeout=10).check()

    assert (tmp_path / "begun").exists()
