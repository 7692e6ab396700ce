"""What dies or stops in the middle of a scenario is told by name, soon, and the next scenario has a new one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.detect.dying import ROWS
from harness.detect.inner_run import inner_run
from harness.detect.saboteur import noticed
from harness.report.compare import read
from harness.run.detection import detected

pytestmark = pytest.mark.detected
DYING = "scenarios/negative_control/dying.py"


@pytest.fixture
def work() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cp-", dir="/var/tmp") as directory:  # short: sockets lie below it
        yield Path(directory)


def test_what_dies_is_told_by_name_and_the_next_scenario_is_none_the_worse(
    tmp_path: Path, work: Path, record_property: Callable[[str, object], None]
) -> None:
    results = tmp_path / "results.json"
    options = ("--stack", "host", "--results", str(results), "--evidence", str(tmp_path), "--work-dir", str(work))
    ended = inner_run(DYING, *options, timeout=300)

    assert ended.exit_status == 1, ended.output
    assert list(work.iterdir()) == []
    cells = read(f"{results}:host").cells
    for saboteur in ROWS:
        died, after = (cells[f"{DYING}::test_one_dies[{saboteur}-{then}]"] for then in ("it dies", "the next"))
        with detected(saboteur, record_property) as record:
            record(noticed(saboteur, died.findings))
        assert after.outcome == "pass", f"after: {saboteur}: {after}"
