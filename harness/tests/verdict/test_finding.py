"""A finding is data: it travels as JSON, and known bugs read its fields."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import CheckFailed, WaitTimeout
from harness.verdict.finding import ChecksFailed, Finding, as_json, findings_of, read
from harness.verdict.known_bug import KnownBug

LOST = Finding("content", "vm1 vda", "the content is as it should be", "otherwise", "cells\nbase shows: cell 3 is B")
BUG = KnownBug("test_x", "content", "cell 3 is B$", "QEMU", "1.0", None, "https://example.org/1", "It loses.", "on 1")


def test_it_travels_as_json() -> None:
    assert read(as_json([LOST, replace(LOST, check="files")])) == (LOST, replace(LOST, check="files"))
    with pytest.raises(ValueError, match="no findings"):
        read('[{"check": "x"}]')


def test_every_error_has_some() -> None:
    failed = ChecksFailed("all hold", [LOST, LOST])

    assert findings_of(failed) == (LOST, LOST)
    assert findings_of(CheckFailed("a", "b", "c")) == (Finding("", "", "a", "b", "c"),)
    (waited,) = findings_of(WaitTimeout("the end", 3, "nothing"))
    assert (waited.check, waited.seen) == ("WaitTimeout", "waited 3 s for the end; last seen: nothing")


def test_it_prints_as_a_line_and_whole() -> None:
    assert LOST.line() == "content: the content is as it should be - but: otherwise; base shows: cell 3 is B"
    assert str(LOST).splitlines()[0] == "content of vm1 vda:"
    assert "2 of them fail" in str(ChecksFailed("all hold", [LOST, LOST]))


def test_a_known_bug_explains_what_its_own_check_found() -> None:
    assert BUG.explains(LOST)
    assert not BUG.explains(replace(LOST, check="files"))
    assert not BUG.explains(replace(LOST, difference="base shows: cell 4 is B"))
