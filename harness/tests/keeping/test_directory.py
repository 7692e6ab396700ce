from __future__ import annotations

import os
import shutil
import signal
import stat
from pathlib import Path

import pytest

from harness.errors import ChainproofError
from harness.keeping.directory import KeptDirectory, claimed, sweep
from harness.tests.keeping.elsewhere import living_elsewhere, told_elsewhere

KEEP = """
import sys
from pathlib import Path
from harness.keeping.directory import KeptDirectory
with KeptDirectory(Path(sys.argv[1]), "run") as kept:
    print(kept.path)
    sys.stdin.read()
"""
SWEEP = """
import sys
from pathlib import Path
from harness.keeping.directory import sweep
print(sweep(Path(sys.argv[1]), "run"))
"""


def test_it_is_private_and_gone_when_it_is_closed(tmp_path: Path) -> None:
    with KeptDirectory(tmp_path, "run") as kept:
        assert stat.S_IMODE(kept.path.stat().st_mode) == 0o700
        (kept.path / "below").mkdir()

    assert list(tmp_path.iterdir()) == []


def test_its_owner_in_another_process_namespace_is_not_taken_for_dead(tmp_path: Path) -> None:
    with living_elsewhere(KEEP, tmp_path) as (_, path):
        assert sweep(tmp_path, "run") == []
        assert claimed(Path(path))

    assert list(tmp_path.iterdir()) == []


def test_from_another_process_namespace_we_are_not_taken_for_dead(tmp_path: Path) -> None:
    with KeptDirectory(tmp_path, "run") as kept:
        assert told_elsewhere(SWEEP, tmp_path).check().stdout == "[]\n"
        assert kept.path.exists()


def test_what_died_together_with_its_keeper_is_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in ("run-0123abcd", "run-of-nobody", "other-0123abcd"):
        (tmp_path / name).mkdir()
    (tmp_path / "run-file").touch()
    with KeptDirectory(tmp_path, "run") as kept:
        removed = told_elsewhere(SWEEP, tmp_path).check().stdout

        assert {path.name for path in tmp_path.iterdir()} == {kept.path.name, "other-0123abcd", "run-file"}
    assert "run-0123abcd" in removed


def test_a_keeper_that_was_killed_is_told_and_stood_in_for(tmp_path: Path) -> None:
    kept = KeptDirectory(tmp_path, "run")
    assert kept._keeper is not None
    os.kill(kept._keeper.pid, signal.SIGKILL)

    with pytest.raises(ChainproofError, match=f"the keeper of {kept.path} was ended by SIGKILL: .*was removed"):
        kept.close()
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_swept_before_it_is_claimed_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[Path] = []
    claim = KeptDirectory._claimed

    def late(kept: KeptDirectory) -> bool:
        if not swept:
            swept.append(kept.path)
            shutil.rmtree(kept.path)
        return claim(kept)

    monkeypatch.setattr(KeptDirectory, "_claimed", late)
    with KeptDirectory(tmp_path, "run") as kept:
        assert swept != [kept.path]
        assert claimed(kept.path)


def test_why_it_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        KeptDirectory(tmp_path / "nowhere", "run")
