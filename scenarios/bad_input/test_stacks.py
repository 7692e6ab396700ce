"""A stack that cannot be had is said in one line that names it, and the others go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.detect.inner_run import SCENARIO, inner_run
from harness.errors import Unusable
from harness.stack.mirror import Mirror
from harness.stack.trees import Trees

CLOSED = "http://127.0.0.1:9/debian"


def test_one_that_is_no_stack_ends_the_run() -> None:
    ended = inner_run(SCENARIO, "--stack", "fedora:41")

    assert ended.exit_status == 2
    assert "fedora:41: there is no such kind of stack; use host, debian:SUITE, dir:PATH" in ended.output


def test_one_among_several_leaves_the_others_alone(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    both = ("--stack", "host", "--stack", f"dir:{tmp_path}")
    ended = inner_run("scenarios/commit/test_intermediate.py", "-k", "sn1-base", *both)

    assert ended.exit_status == 1
    assert "1 passed, 4 deselected, 1 error" in ended.output
    assert f"chainproof: dir:{tmp_path}: there is no libvirtd, no virsh" in ended.output
    assert "  .  E  scenarios/commit/test_intermediate.py" in ended.output


def test_a_suite_that_the_mirror_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"^debian:nosuch: the mirror has no such suite: E: .* Release"):
        Trees(tmp_path, lambda: Mirror(f"file://{tmp_path}/empty")).provide("nosuch")


def test_a_mirror_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"debian:sid: the mirror is unreachable: E: .*127\.0\.0\.1"):
        Trees(tmp_path, lambda: Mirror(CLOSED)).provide("sid")

    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_without_a_mirror_the_procedure_elsewhere_is_skipped_and_says_why() -> None:
    kept = {"CHAINPROOF_DEBIAN_MIRROR": CLOSED}
    ended = inner_run(
        "scenarios/procedure/test_live_merge.py", "--procedure-on", "debian:potato", "-rs", environment=kept
    )

    assert ended.exit_status == 0, ended.output
    assert "1 passed, 1 skipped" in ended.output
    assert "debian:potato: the mirror is unreachable" in ended.output
