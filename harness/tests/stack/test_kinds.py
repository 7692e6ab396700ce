from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import Unusable
from harness.stack.kinds import Kinds, changed, expanded, upgraded


@pytest.mark.parametrize(
    "name", ["nix:2", "debian:", "debian:../etc", "debian:sid@yesterday", "dir:", "build:/one", "hosts"]
)
def test_what_is_no_stack_is_refused_with_what_there_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unusable, match=rf"{name}: there is no such kind of stack; use host, debian:SUITE"):
        Kinds(tmp_path, tmp_path).stack(name)


def test_a_directory_that_is_no_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="there is no file system tree"):
        Kinds(tmp_path, tmp_path).stack(f"dir:{tmp_path}")


def test_a_tree_without_a_daemon_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/virsh").touch()

    with pytest.raises(Unusable, match=r"^dir:.*: there is no libvirtd, no qemu-system-x86_64, no qemu-img"):
        Kinds(tmp_path, tmp_path).stack(f"dir:{tmp_path}")


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="there is no file /nonexistent/virsh to take as virsh"):
        Kinds(tmp_path, tmp_path).stack("host+virsh=/nonexistent/virsh")


def test_sets_stand_for_their_stacks(tmp_path: Path) -> None:
    file = tmp_path / "stacks.toml"
    file.write_text('both = ["host", "debian:sid"]\n')

    assert expanded(["debian:trixie", "both", "host"], file) == ["debian:trixie", "host", "debian:sid"]


def test_replaced_pieces_are_in_the_name() -> None:
    assert changed("host", {"qemu": Path("/q/qemu"), "virsh": None}) == "host+qemu=/q/qemu"


def test_an_upgrade_is_of_what_was_there_before_with_its_replaced_pieces() -> None:
    name = changed("host+upgrade-to=debian:sid", {"qemu": Path("/q/qemu")})

    assert name == "host+qemu=/q/qemu+upgrade-to=debian:sid"
    assert upgraded(["host", "debian:sid+upgrade-to=host"], ["debian:trixie"]) == [
        "host",
        "debian:sid+upgrade-to=host",
        "host+upgrade-to=debian:trixie",
    ]


def test_one_upgrade_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="one upgrade at a time"):
        Kinds(tmp_path, tmp_path).stack("host+upgrade-to=debian:trixie+upgrade-to=debian:sid")
