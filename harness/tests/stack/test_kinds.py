from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import Unusable
from harness.stack.kinds import Kinds, changed, expanded, refuse_unreadable, upgraded


@pytest.mark.parametrize(
    "name", ["nix:2", "debian:", "debian:../etc", "debian:sid@yesterday", "dir:", "build:/one", "hosts"]
)
def test_what_is_no_stack_is_refused_with_what_there_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unusable, match=rf"{name}: there is no such kind of stack; use host, debian:SUITE"):
        Kinds(tmp_path, tmp_path).stack(name)


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["fedora:41"], "fedora:41: there is no such kind of stack; use host, debian:SUITE"),
        (["host", "hots"], "hots: there is no such kind of stack; did you mean host"),
        (["bohts"], "bohts: there is no such kind of stack; did you mean both"),
        (["host+qmeu=/x/qemu"], "host[+]qmeu=/x/qemu: what can be changed is [+]libvirtd=, "),
        (["dir:/tree+qmeu=/x"], r"dir:/tree\+qmeu=/x: what can be changed is [+]libvirtd=, "),
        (["host+virsh=/x+qmeu=/y"], "/x[+]qmeu=/y in host.*: what can be changed is [+]libvirtd=, "),
        (["host+virsh=sid"], r"sid in host\+virsh=sid: there is no such kind"),
        (["host+upgrade-to=debina:sid"], "debina:sid in host.*; did you mean debian:sid"),
        (["host+upgrade-to=host+upgrade-to=host"], "what can be changed is .*upgrade-to=, once"),
    ],
)
def test_a_name_that_means_nothing_is_refused_before_anything_is_made(
    tmp_path: Path, names: list[str], line: str
) -> None:
    file = tmp_path / "stacks.toml"
    file.write_text('both = ["host", "debian:sid"]\n')
    with pytest.raises(Unusable, match=line):
        refuse_unreadable(names, file)


def test_names_that_mean_something_are_let_pass(tmp_path: Path) -> None:
    file = tmp_path / "stacks.toml"
    file.write_text('both = ["host", "debian:sid"]\n')
    names = [
        "both",
        "host+qemu=/opt/g++/qemu+virsh=debian:sid",
        "build:/a,/b",
        "dir:/c++",
        "debian:sid+upgrade-to=host",
    ]
    refuse_unreadable(names, file)


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
