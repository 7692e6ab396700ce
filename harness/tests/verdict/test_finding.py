"""A finding is data: it travels as JSON, and known bugs read its fields."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import CheckFailed, WaitTimeout
from harness.verdict.finding import ChecksFailed, Finding, as_json, findings_of, read
from harness.verdict.known_bug import KnownBug, explanation

LOST = Finding("content", "vm1 vda", "the content is as it should be", "otherwise", "cells\nbase shows: cell 3 is B")
BRIEF = Finding("files", "", "", "otherwise")
BUG = KnownBug("test_x", "content", "cell 3 is B$", "QEMU", "1.0", None, "https://example.org/1", "It loses.", "on 1")


def test_it_travels_as_json() -> None:
    assert read(as_json([LOST, replace(LOST, check="files")])) == (LOST, replace(LOST, check="files"))
    with pytest.raises(ValueError, match="no findings"):
        read('[{"check": "x"}]')


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="told in words, not in None"):
        Finding("a", "b", None, "d")  # type: ignore[arg-type]


def test_every_error_has_some() -> None:
    failed = ChecksFailed("all hold", [LOST, LOST])

    assert findings_of(failed) == (LOST, LOST)
    assert findings_of(CheckFailed("a", "b", "c")) == (Finding("", "", "a", "b", "c"),)
    (waited,) = findings_of(WaitTimeout("the end", 3, "nothing"))
    assert (waited.check, waited.seen) == ("WaitTimeout", "waited 3 s for the end; last seen: nothing")


def test_the_words_of_an_error_are_seen_and_differ_from_its_second_line_on() -> None:
    (failed,) = findings_of(ValueError("no\nthe first\nthe second"))

    assert failed == Finding("ValueError", "", "", "no", "the first\nthe second")


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (LOST, "content: the content is as it should be - but: otherwise; base shows: cell 3 is B"),
        (replace(LOST, check=""), "the content is as it should be - but: otherwise; base shows: cell 3 is B"),
        (replace(LOST, seen="otherwise\nthan it should be", difference=""), f"content: {LOST.claim} - but: otherwise"),
        (replace(LOST, seen=""), f"content: {LOST.claim} - but: ; base shows: cell 3 is B"),
        (replace(LOST, difference="  one\n  two"), f"content: {LOST.claim} - but: otherwise; one"),
        (
            replace(LOST, difference="x\nbase contains: B\ny"),
            f"content: {LOST.claim} - but: otherwise; base contains: B",
        ),
        (replace(LOST, claim="", difference="one"), "content: otherwise"),
        (replace(LOST, claim="", difference="one\n1 != 2"), "content: otherwise; 1 != 2"),
        (Finding("", "", "", "otherwise"), "otherwise"),
    ],
)
def test_it_is_told_in_a_line_with_the_first_words_that_say_what_differs(finding: Finding, line: str) -> None:
    assert finding.line() == line


def test_it_prints_whole_without_what_there_is_not() -> None:
    assert str(LOST) == (
        "content of vm1 vda:\n"
        "claimed:  the content is as it should be\n"
        "seen:     otherwise\n"
        "cells\n"
        "base shows: cell 3 is B"
    )
    assert str(Finding("files", "", "", "otherwise")) == "files:\nseen:     otherwise"


def test_several_are_one_failure_of_a_claim_that_says_how_many() -> None:
    failed = ChecksFailed("all hold", [LOST, BRIEF])

    assert (failed.claim, failed.seen) == ("all hold", "2 of them fail")
    assert failed.difference == f"{LOST}\n{BRIEF}"


def test_a_known_bug_explains_what_its_own_check_found() -> None:
    assert BUG.explains(LOST)
    assert not BUG.explains(replace(LOST, check="files"))
    assert not BUG.explains(replace(LOST, difference="base shows: cell 4 is B"))
    assert not BUG.explains(replace(LOST, check="content of the disk"))


def test_a_known_bug_is_known_by_the_claim_by_what_was_seen_and_by_what_differs_in_lines() -> None:
    for shows in ("^the content is as it should be\n", "\notherwise\n", "\ncells\n"):
        assert replace(BUG, shows=shows).explains(LOST)


def test_findings_are_explained_if_each_is_by_the_first_bug_that_explains_it() -> None:
    other = replace(BUG, check="files", shows="")
    files = replace(LOST, check="files")

    assert explanation([LOST, files, LOST], [replace(other, check="none"), other, BUG]) == (BUG, other)
    assert explanation([LOST], iter([BUG, replace(BUG, sentence="Again.")])) == (BUG,)
    assert explanation([LOST, files], [BUG]) is None
    assert explanation([], [BUG]) == ()
