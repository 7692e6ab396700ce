"""Reproducers of findings run, to a verdict: whether it is the bug depends on the QEMU of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.process import run

FINDINGS = Path(__file__).resolve().parents[2] / "scenarios/findings"


@pytest.mark.parametrize("script", sorted(FINDINGS.glob("*.sh")), ids=lambda script: script.stem)
def test_a_reproducer_comes_to_a_verdict_and_leaves_nothing(script: Path, tmp_path: Path) -> None:
    done = run(["env", f"TMPDIR={tmp_path}", "sh", str(script)], timeout=60)

    if done.exit_status == 2 and done.stdout.startswith("cannot be shown here: "):
        pytest.skip(done.stdout.strip())
    assert done.exit_status in (0, 1), done.output
    assert done.stdout.splitlines()[-1].startswith("after ")  # it has got to its end
    assert list(tmp_path.iterdir()) == []


def test_each_finding_has_a_text_ready_to_be_filed() -> None:
    for text in set(FINDINGS.glob("*.md")) - {FINDINGS / "README.md"}:
        said = text.read_text()
        assert said.startswith("# ")
        assert all(part in said for part in ("**What happens.**", "**What should happen.**", "**Searched for**")), text
