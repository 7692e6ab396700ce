from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.detect.inner_run import ROOT
from harness.process import run

# in mounts of its own, which end with it: a chroot whose root is a plain directory
CHROOT = """
set -e
cd "$1"
mkdir usr proc dev tmp checkout
for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done
for name in usr proc dev; do mount --rbind "/$name" "$name"; done
mount --bind "$2" checkout
exec chroot . /usr/bin/python3 -c "$3"
"""
TRY = """
import sys
sys.path.insert(0, "/checkout")
from harness.process import run
from harness.stack.rooted import stand_on_a_mount
def sandbox():
    return run(["bwrap", "--ro-bind", "/", "/", "true"], timeout=10)
before = sandbox()
print(before.exit_status, before.stderr.strip())
stand_on_a_mount()
stand_on_a_mount()
after = sandbox()
print(after.exit_status, after.stderr.strip())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a chroot")
def test_in_a_plain_chroot_a_sandbox_can_be_built_and_nothing_is_mounted_outside(tmp_path: Path) -> None:
    done = run(["unshare", "--mount", "sh", "-c", CHROOT, "sh", str(tmp_path), str(ROOT), TRY], timeout=30).check()

    before, after = done.stdout.splitlines()
    assert before == "1 bwrap: Failed to make / slave: Invalid argument"
    assert after == "0 "
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
