"""The table of saboteurs: whole, without holes, and as it is written down."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from harness.detect.catalogue import document
from harness.detect.saboteur import Family, Saboteur, Unnoticed, judged
from harness.detect.saboteurs import ELSEWHERE, IN_QEMU, ON_A_DAEMON, ON_A_VM, SABOTEURS
from harness.verdict.checks import CHECKS
from harness.verdict.finding import Finding

SCENARIOS = Path(__file__).resolve().parents[3] / "scenarios"
ROW = Saboteur("a", Family.JOB, "b", ("content", "files"), "cell 3 ... is A")


def test_every_universal_check_is_meant_to_notice_one() -> None:
    meant = {check for saboteur in SABOTEURS for check in saboteur.meant}

    assert {check.name for check in CHECKS} <= meant


def test_no_two_have_one_name() -> None:
    assert [name for name, count in Counter(each.name for each in SABOTEURS).items() if count > 1] == []


def test_each_says_what_it_breaks_and_what_is_said_of_it() -> None:
    assert [each.name for each in SABOTEURS if not (each.breaks and each.meant and each.words)] == []


def test_those_that_run_in_a_trial_do_something_that_can_be_seen() -> None:
    blind = Saboteur("", Family.JOB, "", (), "").trace

    assert [
        each.name for each in (*ON_A_VM, *ON_A_DAEMON, *IN_QEMU) if each.install is None or each.trace is blind
    ] == []


def test_those_that_are_elsewhere_have_their_test() -> None:
    tests = {
        node.name
        for file in (SCENARIOS / "negative_control").glob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert {each.elsewhere for each in ELSEWHERE} <= tests


def test_the_table_is_written_down() -> None:
    assert (SCENARIOS / "README.md").read_text() == document(), "ci/run detect writes it"


def found(*checks: str, seen: str = "cell 3 of base is A") -> tuple[Finding, ...]:
    return tuple(Finding(check, "", "", seen) for check in checks)


def test_one_that_all_have_noticed_that_are_meant_to() -> None:
    assert judged(ROW, found("content", "files", "allocation")).check == "content"
    assert judged(ROW, found("files", "content")).check == "files"


@pytest.mark.parametrize(
    "findings",
    [(), found("content"), found("allocation", "content", "files"), found("content", "files", seen="cell 3 is B")],
    ids=["by nobody", "not by all", "first by another", "in other words"],
)
def test_one_that_is_noticed_otherwise(findings: tuple[Finding, ...]) -> None:
    with pytest.raises(Unnoticed):
        judged(ROW, findings)
