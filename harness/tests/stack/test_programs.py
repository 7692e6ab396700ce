"""Programs put in place of a stack's own."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from harness.stack.programs import Program, install

MODULES = "usr/lib/x86_64-linux-gnu/qemu"


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("old", "new"):
        (tmp_path / name / MODULES).mkdir(parents=True)
        (tmp_path / name / "usr/bin").mkdir()
        for program in ("qemu-system-x86_64", "qemu-img"):
            (tmp_path / name / "usr/bin" / program).write_bytes(b"\x7fELF")
            (tmp_path / name / "usr/bin" / program).chmod(0o755)
    return tmp_path / "old", tmp_path / "new"


def test_another_qemu_finds_no_modules_of_the_one_that_it_replaces(trees: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = trees
    program = Program("qemu-system-x86_64", Path("/usr/bin/qemu-system-x86_64"), new)

    options = install((program,), old, tmp_path / "bin")

    assert (str(new / MODULES), f"/{MODULES}") in pairwise(options)
    assert f"QEMU_MODULE_DIR=/chainproof/trees/0/{MODULES}" in (tmp_path / "bin" / program.name).read_text()


def test_another_qemu_img_leaves_the_modules_of_qemu_alone(trees: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = trees
    program = Program("qemu-img", Path("/usr/bin/qemu-img"), new)

    assert f"/{MODULES}" not in install((program,), old, tmp_path / "bin")
