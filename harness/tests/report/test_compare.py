from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import Unusable
from harness.report.compare import changes, main, read


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    file = tmp_path / "results.json"
    cells = {
        "a": {"old": {"outcome": "pass", "said": ""}, "new": {"outcome": "fail", "said": "cell 3 should be B"}},
        "b": {"old": {"outcome": "fail", "said": "the chain is too long"}, "new": {"outcome": "pass", "said": ""}},
        "c": {"old": {"outcome": "not offered", "said": ""}, "new": {"outcome": "known bug", "said": ""}},
        "d": {"old": {"outcome": "pass", "said": ""}, "new": {"outcome": "pass", "said": ""}},
    }
    file.write_text(json.dumps({"stacks": {"old": "libvirt 9", "new": "libvirt 12"}, "scenarios": cells}))
    return file


def test_what_breaks_is_told_first_with_what_was_seen(saved: Path) -> None:
    assert changes(read(f"{saved}:old"), read(f"{saved}:new")) == [
        "before: libvirt 9",
        "after:  libvirt 12",
        "breaks:",
        "  a: pass, now fail: cell 3 should be B",
        "fixes:",
        "  b: fail, now pass: the chain is too long",
        "otherwise:",
        "  c: not offered, now known bug",
        "1 scenarios came to the same",
    ]


def test_only_what_breaks_is_a_failure(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{saved}:old", f"{saved}:new"]) == 1
    assert main([f"{saved}:old", f"{saved}:old"]) == 0
    assert main([f"{saved}:old"]) == 2
    assert main([f"{saved}:old", "/nonexistent"]) == 2
    assert "no saved results: /nonexistent" in capsys.readouterr().err


def test_one_of_several_stacks_must_be_named(saved: Path) -> None:
    with pytest.raises(Unusable, match="has several stacks: old, new"):
        read(str(saved))
