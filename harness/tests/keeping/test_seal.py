from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.keeping.seal import damage, seal


@pytest.fixture
def made(tmp_path: Path) -> Path:
    directory = tmp_path / "made"
    (directory / "usr/sbin").mkdir(parents=True)
    (directory / "usr/sbin/libvirtd").write_text("daemon")
    (directory / "sbin").symlink_to("usr/sbin")
    seal(directory, directory / "seal")
    return directory


def rewrite(directory: Path) -> None:
    """Other content of the same length, with the file's times put back, as a restore by a backup does."""
    file = directory / "usr/sbin/libvirtd"
    before = file.stat()
    file.write_text("dAemon")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def redirect(directory: Path) -> None:
    (directory / "sbin").unlink()
    (directory / "sbin").symlink_to("usr/sbim")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "usr/sbin/libvirtd has 0 bytes, not 6": lambda made: (made / "usr/sbin/libvirtd").write_text(""),
    "the content of usr/sbin/libvirtd has changed": rewrite,
    "usr/sbin/libvirtd is missing": lambda made: (made / "usr/sbin/libvirtd").unlink(),
    "the content of sbin has changed": redirect,
    "usr/x has come from elsewhere": lambda made: (made / "usr/x").touch(),
    "there is no seal": lambda made: (made / "seal").unlink(),
    "its seal cannot be read": lambda made: (made / "seal").write_text("{"),
    "its seal cannot be read: not": lambda made: (made / "seal").write_text('{"sbin": 1, "usr/sbin/libvirtd": []}'),
}


def test_what_is_as_it_was_made_is_whole(made: Path) -> None:
    assert damage(made, made / "seal") == ""


@pytest.mark.parametrize("told", DAMAGE)
def test_damage_is_told(told: str, made: Path) -> None:
    DAMAGE[told](made)

    assert damage(made, made / "seal").startswith(told.removesuffix(": not"))


def test_a_copy_is_whole_and_its_files_are_read_only_once(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy, symlinks=True)

    assert damage(copy, copy / "seal") == ""
    changed = {name: entry[1] for name, entry in json.loads((copy / "seal").read_text()).items()}
    assert changed == {name: (copy / name).lstat().st_ctime_ns for name in ("sbin", "usr/sbin/libvirtd")}
