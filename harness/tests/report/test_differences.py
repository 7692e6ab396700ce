"""The list of what differs between releases is that of the tables, and each finding is in it."""

from __future__ import annotations

from harness.report.differences import DOCUMENT, document
from harness.verdict.known_bugs import KNOWN_BUGS


def test_the_list_is_written_down() -> None:
    assert DOCUMENT.read_text() == document(), "python -m harness.report.differences writes it"


def test_each_bug_is_in_it_and_each_text_beside_it_is_named() -> None:
    said = document()

    assert all(f"| {bug.sentence} |" in said for bug in KNOWN_BUGS)
    texts = {text.name for text in DOCUMENT.parent.glob("*.md")} - {DOCUMENT.name}
    assert {name for name in texts if f"]({name})" in said} == texts
