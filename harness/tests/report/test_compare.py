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
        "a": {"old": {"outcome": "pass", "line": ""}, "new": {"outcome": "fail", "line": "cell 3 should be B"}},
        "b": {"old": {"outcome": "fail", "line": "the chain is too long"}, "new": {"outcome": "pass", "line": ""}},
        "c": {
            "old": {"outcome": "not offered", "line": "since 9"},
            "new": {"outcome": "known bug", "line": "Lies."},
        },
        "d": {"old": {"outcome": "pass", "line": ""}, "new": {"outcome": "pass", "line": ""}},
        "h": {"old": {"outcome": "not offered", "line": "since 12"}, "new": {"outcome": "pass", "line": ""}},
        "e": {"old": {"outcome": "fail", "line": "pid 1"}, "new": {"outcome": "fail", "line": "pid 22"}},
        "f": {"old": {"outcome": "fail", "line": "a hole"}, "new": {"outcome": "fail", "line": "torn"}},
        "g": {"old": {"outcome": "pass", "line": ""}},
    }
    file.write_text(json.dumps({"stacks": {"old": "libvirt 9", "new": "libvirt 12"}, "scenarios": cells}))
    return file


def test_what_breaks_is_told_first_with_what_was_seen(saved: Path) -> None:
    assert changes(read(f"{saved}:old"), read(f"{saved}:new")) == [
        "before: libvirt 9",
        "after:  libvirt 12",
        "breaks:",
        "  a",
        "      pass, now fail",
        "      after:  cell 3 should be B",
        "fails otherwise:",
        "  f",
        "      fail, now fail",
        "      before: a hole",
        "      after:  torn",
        "breaks as it is known to:",
        "  c",
        "      not offered, now known bug",
        "      before: since 9",
        "      after:  Lies.",
        "fixes:",
        "  b",
        "      fail, now pass",
        "      before: the chain is too long",
        "otherwise:",
        "  h",
        "      not offered, now pass",
        "      before: since 12",
        "not run on both:",
        "  g",
        "      pass, now not run",
        "breaks: 1, fails otherwise: 1, breaks as it is known to: 1, fixes: 1, otherwise: 1, "
        "not run on both: 1, the same: 2 of 8 scenarios",
    ]


def test_only_what_breaks_is_a_failure(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"{saved}:old", f"{saved}:new") == 1
    assert main(f"{saved}:old", f"{saved}:old") == 0
    assert main(f"{saved}:old", "/nonexistent") == 2
    assert "no saved results: /nonexistent" in capsys.readouterr().err


def test_a_stack_that_is_not_in_the_results_is_told_with_those_that_are(saved: Path) -> None:
    with pytest.raises(Unusable, match="has no stack newest; it has old, new"):
        read(f"{saved}:newest")


def test_one_of_several_stacks_must_be_named(saved: Path) -> None:
    with pytest.raises(Unusable, match="has several stacks: old, new"):
        read(str(saved))
