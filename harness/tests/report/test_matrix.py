from __future__ import annotations

from harness.report.matrix import Cell, Outcome, table


def test_the_worst_phase_counts_and_the_first_failure_stays() -> None:
    passed, skipped = Cell(Outcome.PASS), Cell(Outcome.SKIPPED, "no KVM")
    failed, error = Cell(Outcome.FAIL, "too long"), Cell(Outcome.ERROR, "cannot undefine it")

    assert passed.or_worse(skipped) == skipped
    assert skipped.or_worse(passed) == skipped
    assert failed.or_worse(error) == failed
    assert passed.or_worse(error) == error


def test_a_table_has_a_column_for_each_stack() -> None:
    cells = {
        "test_a": {"host": Cell(Outcome.PASS), "debian:sid": Cell(Outcome.FAIL)},
        "test_b": {"host": Cell(Outcome.KNOWN_BUG)},
    }

    assert table({"host": "libvirt 9", "debian:sid": "libvirt 12"}, cells) == [
        "  1  libvirt 9",
        "  2  libvirt 12",
        "     (. pass, n not offered, s skipped, x known bug, F fail, E error; blank: not run)",
        "",
        "  1  2",
        "  .  F  test_a",
        "  x     test_b",
        "  1  0  passed",
    ]
