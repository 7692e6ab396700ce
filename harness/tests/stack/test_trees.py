from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from harness.errors import Unusable
from harness.keeping.directory import KeptDirectory
from harness.process import run
from harness.stack import trees
from harness.stack.mirror import Mirror
from harness.stack.trees import Tree, Trees, suites

NOWHERE = Mirror("http://127.0.0.1:9/debian")


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Trees, Tree]:
    """A tree of a file and a link that a build left packed."""
    directory = tmp_path / "trees"
    (tmp_path / "made/usr/sbin").mkdir(parents=True)
    (tmp_path / "made/usr/sbin/libvirtd").write_text("daemon")
    (tmp_path / "made/lib").symlink_to("usr/lib")
    directory.mkdir()
    archive = directory / "d16e57.tar.zst"
    run(["tar", "--zstd", "-cf", str(archive), "-C", str(tmp_path / "made"), "."], timeout=60).check()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    tree = Tree("trixie", "d16e57", trees._recipe("trixie"), "today", {"libvirt-daemon": "11.3.0-3"}, 2, digest)
    (directory / "trixie.json").write_text(json.dumps(asdict(tree)))
    return Trees(directory, lambda: NOWHERE), tree


def test_a_packed_tree_is_unpacked_and_again_if_it_is_not_whole(kept: tuple[Trees, Tree]) -> None:
    cache, tree = kept
    daemon = cache.unpacked(tree) / "usr/sbin/libvirtd"
    assert cache.provide("trixie") == tree
    assert daemon.read_text() == "daemon"

    daemon.unlink()
    cache.provide("trixie")

    assert daemon.read_text() == "daemon"


def test_a_tree_that_is_damaged_at_all_is_unpacked_again_and_that_is_told(
    kept: tuple[Trees, Tree], capsys: pytest.CaptureFixture[str]
) -> None:
    cache, tree = kept
    cache.provide("trixie")
    assert capsys.readouterr().err == ""
    daemon = cache.unpacked(tree) / "usr/sbin/libvirtd"
    for damaged in ("", "dAemon"):
        daemon.write_text(damaged)

        cache.provide("trixie")

        assert daemon.read_text() == "daemon"
        assert "the tree of debian:trixie is damaged, and is made anew: " in capsys.readouterr().err


def test_a_damaged_archive_is_not_taken(kept: tuple[Trees, Tree]) -> None:
    cache, tree = kept
    archive = cache.archive(tree)
    archive.write_bytes(archive.read_bytes()[:-1])

    with pytest.raises(Unusable, match="debian:trixie: "):
        cache.provide("trixie")


def test_pruning_leaves_what_is_in_use_and_what_is_being_built(kept: tuple[Trees, Tree]) -> None:
    cache, tree = kept
    cache.provide("trixie")
    for name in ("build-sid-0badcafe", "0123456789abcdef"):
        (cache.directory / name).mkdir()
    for name in ("0123456789abcdef.tar.zst", "0123456789abcdef.seal"):
        (cache.directory / name).touch()

    with KeptDirectory(cache.directory, "build-sid") as building:
        removed = {path.name for path in cache.prune()}
        assert building.path.exists()

    older = {"0123456789abcdef", "0123456789abcdef.tar.zst", "0123456789abcdef.seal"}
    assert removed == {"build-sid-0badcafe", *older}
    assert cache.provide("trixie") == tree
    assert [known.digest for known in cache.known()] == [tree.digest]


@pytest.mark.parametrize(
    ("suite", "parts"),
    [
        ("sid", ("sid",)),
        ("trixie", ("trixie", "trixie-updates", "trixie-security")),
        ("trixie-backports", ("trixie", "trixie-updates", "trixie-security", "trixie-backports")),
        ("experimental", ("sid", "experimental")),
        ("sid@20260131T000000Z", ("sid",)),
    ],
)
def test_a_release_is_put_together_from_its_suites(suite: str, parts: tuple[str, ...]) -> None:
    assert suites(suite) == parts


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("E: The repository 'http://x nosuch Release' does not have a Release file.", "the mirror has no such suite"),
        ("W: Could not connect to 127.0.0.1:9\nE: Failed to fetch", "the mirror is unreachable"),
        ("dpkg-deb: error: tar: write: No space left on device", "the disk is full"),
        ("E: Unable to locate package libvirt-daemon", "it lacks packages that are needed"),
        ("E: something else", ""),
    ],
)
def test_what_apt_says_is_explained(said: str, cause: str) -> None:
    assert trees._cause(said) == cause


def test_versions_are_read_from_names_of_archives() -> None:
    names = "lock\nqemu-utils_1%3a7.2+dfsg-7+deb12u18_amd64.deb\nlibc6_2.36-9_amd64.deb\npartial\n"
    assert trees._packages(names) == {"qemu-utils": "1:7.2+dfsg-7+deb12u18", "libc6": "2.36-9"}
