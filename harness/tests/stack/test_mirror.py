from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import Unusable
from harness.stack.mirror import Mirror
from harness.stack.trees import Trees

SNAPSHOT = "20260131T000000Z"
ARCHIVE = "http://127.0.0.1:9/archive/@SNAPSHOTID@/"
THEN = f"http://127.0.0.1:9/archive/{SNAPSHOT}/"


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    """One whose Release file of sid names an archive of snapshots, and that of trixie none."""
    for suite, field in (("sid", f"Snapshots: {ARCHIVE}\n"), ("trixie", "")):
        (tmp_path / "debian/dists" / suite).mkdir(parents=True)
        (tmp_path / "debian/dists" / suite / "InRelease").write_text(f"Origin: Debian\n{field}Suite: x\n")
    return Mirror(f"file://{tmp_path}/debian", "http://127.0.0.1:9/security")


def test_a_snapshot_is_where_the_release_file_says(mirror: Mirror, tmp_path: Path) -> None:
    assert mirror.at(SNAPSHOT, "sid", tmp_path) == Mirror(THEN)


def test_a_mirror_that_names_no_snapshots_is_said_with_what_to_do(mirror: Mirror, tmp_path: Path) -> None:
    said = f"debian:trixie@{SNAPSHOT}: the mirror names no archive of snapshots; set CHAINPROOF_DEBIAN_SNAPSHOTS to"
    with pytest.raises(Unusable, match=said):
        Trees(tmp_path, lambda: mirror).provide(f"trixie@{SNAPSHOT}")


def test_another_archive_can_be_named(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINPROOF_DEBIAN_SNAPSHOTS", ARCHIVE)
    monkeypatch.setenv("CHAINPROOF_DEBIAN_SECURITY_SNAPSHOTS", "http://127.0.0.1:9/security/@SNAPSHOTID@")

    assert mirror.at(SNAPSHOT, "trixie", tmp_path) == Mirror(THEN, f"http://127.0.0.1:9/security/{SNAPSHOT}")
