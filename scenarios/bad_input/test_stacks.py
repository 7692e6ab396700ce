"""A stack that cannot be had is said in one line that names it, and the others go on."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.detect.inner_run import SCENARIO, inner_run
from harness.errors import Unusable
from harness.stack.answering import require_libvirt, require_qemu
from harness.stack.mirror import Mirror
from harness.stack.trees import Trees
from harness.stack.version import Version
from harness.trial.ground import Platform
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

CLOSED = "http://127.0.0.1:9/debian"


def test_one_that_is_no_stack_ends_the_run() -> None:
    ended = inner_run(SCENARIO, "--stack", "fedora:41")

    assert ended.exit_status == 2
    assert "fedora:41: there is no such kind of stack; use host, debian:SUITE, dir:PATH" in ended.output


def test_what_is_passed_as_a_program_and_is_none(platform: Platform, tmp_path: Path) -> None:
    kinds = platform.ground.kinds
    package = tmp_path / "qemu.deb"
    package.write_bytes(b"!<arch>\ndebian-binary")
    package.chmod(0o755)
    text = tmp_path / "text"
    text.write_text("no program")
    refused = {
        "host+qemu=/usr/bin/true": "what was passed as qemu-system-x86_64 is something else: it prints 'true .*; pass",
        "host+virsh=/usr/bin/true": "what was passed as virsh is something else",
        "host+libvirtd=/usr/bin/virsh": "what was passed as libvirtd is something else",
        "host+qemu-img=/usr/bin/true": "what was passed as qemu-img is something else",
        f"host+qemu={package}": "qemu.deb is a package and no program to take as qemu-system-x86_64; unpack it",
        f"host+qemu={text}": "cannot be executed, so it is no qemu-system-x86_64; pass a program, or chmod",
    }
    for name, line in refused.items():
        with pytest.raises(Unusable, match=line) as caught:
            kinds.stack(name)
        assert "\n" not in str(caught.value)


def test_a_qemu_without_its_modules_and_firmware(platform: Platform, tmp_path: Path) -> None:
    alone = tmp_path / "usr/bin/qemu-system-x86_64"
    alone.parent.mkdir(parents=True)
    shutil.copy(shutil.which(alone.name) or "", alone)

    problem = ""
    try:
        platform.ground.kinds.stack(f"host+qemu={alone}")
    except Unusable as error:
        problem = str(error)

    if not problem:
        pytest.skip("this QEMU starts without its modules: Debian 13's does")
    assert re.search(f"{alone} does not start as QEMU: .*; pass a whole build", problem)


def test_another_libvirtd_or_qemu_than_was_announced_ends_the_run(trial: Trial, vm: Vm) -> None:
    daemon, stack = trial.daemon, trial.daemon.stack
    announced = replace(stack, libvirt_version=Version("1.2.3"), qemu_version=Version("1.2.3"))
    number = daemon.connection.getLibVersion()
    with pytest.raises(
        Unusable, match=rf"libvirtd 1\.2\.3 was announced, and version {stack.libvirt_version.upstream} "
    ):
        require_libvirt(announced, number, daemon.sandbox, daemon.pid)
    with pytest.raises(Unusable, match=r"qemu-system-x86_64 1\.2\.3 was announced, and version 9\.9\.9 answers"):
        require_qemu(announced, "9.9.9", daemon.sandbox, vm.domain.qemu_pid)
    with pytest.raises(Unusable, match=r"qemu-system-x86_64 was to be .*, and .*libvirtd.* runs in its place"):
        require_qemu(stack, stack.qemu_version.upstream, daemon.sandbox, daemon.pid)


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
