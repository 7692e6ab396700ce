"""What becomes of mutants: read from what the tool leaves, told apart from those that no test can kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.mutation import mutants
from harness.mutation.mutants import Change, Fate, alive, change, equivalents, fates, summary
from harness.mutation.tree import ROOT, TESTS, lay_out

DIFF = """\
# harness.oracle.chain.x_above__mutmut_3: survived
--- harness/oracle/chain.py
+++ harness/oracle/chain.py
@@ -1,3 +1,3 @@
 def above(name):
-    return name > 0
+    return name >= 0
"""
WHAT = Change("harness.oracle.chain.x_above", "return name > 0", "return name >= 0")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    meta = tmp_path / "mutants/harness/oracle/chain.py.meta"
    meta.parent.mkdir(parents=True)
    codes = {f"harness.oracle.chain.x_above__mutmut_{number}": code for number, code in enumerate((1, 36, 33, 0, None))}
    meta.write_text(json.dumps({"exit_code_by_key": codes}))
    return tmp_path


def test_a_mutant_is_known_by_what_it_changes_and_not_by_its_number() -> None:
    assert change("harness.oracle.chain.x_above__mutmut_3", DIFF) == WHAT


def test_what_became_of_each_is_read_from_the_exit_status_of_its_tests(tree: Path) -> None:
    found = [fate for _, fate, _ in fates(tree, lambda _: DIFF)]

    assert found == [Fate.KILLED, Fate.SLOW, Fate.UNTESTED, Fate.ALIVE, Fate.UNKNOWN]


def test_one_that_is_listed_is_equivalent(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "equivalents", lambda: {WHAT: "names are never 0"})

    assert [fate for _, fate, _ in fates(tree, lambda _: DIFF)][3] is Fate.EQUIVALENT


@pytest.mark.parametrize(
    ("becomes", "fate"),
    [
        ('wrong("NO JOB IS LEFT", left)', Fate.WORDS),
        ('wrong("XXno job is leftXX", left)', Fate.WORDS),
        ("wrong(None, left)", Fate.ALIVE),
        ('wrong("NO JOB IS LEFT", left, "x")', Fate.ALIVE),
        ('wrong("no job is left", None)', Fate.ALIVE),
    ],
)
def test_one_that_words_a_message_otherwise_is_told_apart(becomes: str, fate: Fate) -> None:
    assert alive(Change("a", 'wrong("no job is left", left)', becomes)) is fate


@pytest.mark.parametrize("becomes", ['seen.get("XXsizeXX")', 'seen.get("SIZE")'])
def test_a_string_that_is_no_words_is_alive(becomes: str) -> None:
    assert alive(Change("a", 'seen.get("size")', becomes)) is Fate.ALIVE


def test_the_living_are_told_in_full() -> None:
    lines = summary([("a", Fate.KILLED, None), ("b", Fate.ALIVE, WHAT), ("c", Fate.UNTESTED, WHAT)])

    assert lines == [
        "ALIVE: harness.oracle.chain.x_above\n  - return name > 0\n  + return name >= 0",
        "1 mutants of harness.oracle.chain.x_above: no test calls it",
        "3 mutants: 1 killed, 1 alive, 1 in a function that no test calls",
    ]


def test_each_that_is_listed_as_equivalent_has_a_reason_and_its_lines_are_there() -> None:
    for what, because in equivalents().items():
        module = ROOT / f"{what.function.rpartition('.')[0].replace('.', '/')}.py"
        lines = {line.strip() for line in module.read_text().splitlines()}
        assert because
        assert what.was in lines or what.was in " ".join(line.strip() for line in module.read_text().splitlines())


def test_only_what_has_tests_is_mutated(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="harness/vm is not mutated"):
        lay_out(tmp_path / "tree", ["harness/vm"])


def test_the_tests_are_there() -> None:
    assert all((ROOT / path).is_dir() for path in TESTS)
    assert [test for tests in TESTS.values() for test in tests if not (ROOT / test).exists()] == []
