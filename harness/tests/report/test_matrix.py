from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from harness.report.matrix import Matrix
from harness.report.outcome import NOT_OFFERED, STACK


@dataclass
class Report:
    nodeid: str
    when: str
    outcome: str
    longreprtext: str = ""
    user_properties: list[tuple[str, object]] = field(default_factory=list)
    longrepr: object = None


@dataclass
class Terminal:
    lines: list[str] = field(default_factory=list)

    def section(self, title: str) -> None:
        self.lines.append(title)

    def write_line(self, line: str) -> None:
        self.lines.append(line)


def test_each_scenario_has_its_worst_outcome_on_each_stack(tmp_path: Path) -> None:
    matrix = Matrix({"host": "libvirt 9", "debian:sid": "libvirt 12"}, tmp_path / "results.json")

    def enter(scenario: str, stack: str, when: str, outcome: str, text: str = "", *more: tuple[str, object]) -> None:
        matrix.pytest_runtest_logreport(Report(scenario, when, outcome, text, [(STACK, stack), *more]))

    for when in ("setup", "call", "teardown"):
        enter("test_a.py::test_a[host]", "host", when, "passed")
    enter("test_a.py::test_a[debian:sid]", "debian:sid", "setup", "passed")
    enter("test_a.py::test_a[debian:sid]", "debian:sid", "call", "failed", "x.py:1\nE   too long\nE   more")
    enter("test_a.py::test_a[debian:sid]", "debian:sid", "teardown", "failed", "E   cannot undefine it")
    enter("test_c.py::test_c[host]", "host", "call", "passed", "[gw1] linux -- Python")
    enter("test_c.py::test_c[host]", "host", "teardown", "failed", "E   cannot undefine it")
    enter("test_b.py::test_b[host-sn1]", "host", "setup", "skipped", "", (NOT_OFFERED, "only since 10"))
    enter("test_b.py::test_b[debian:sid-sn1]", "debian:sid", "setup", "failed", "no daemon")

    terminal = Terminal()
    matrix.pytest_terminal_summary(terminal)
    assert "  .  F  test_a.py::test_a" in terminal.lines
    assert "  n  E  test_b.py::test_b[sn1]" in terminal.lines
    assert "  E     test_c.py::test_c" in terminal.lines
    matrix.pytest_sessionfinish()
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["scenarios"]["test_a.py::test_a"]["debian:sid"] == {"outcome": "fail", "said": "too long"}
    assert saved["scenarios"]["test_b.py::test_b[sn1]"]["host"] == {"outcome": "not offered", "said": "only since 10"}
