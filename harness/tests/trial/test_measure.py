"""Each witness is held to the oracle by itself, and what each saw is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import CheckFailed
from harness.oracle.content import Content
from harness.trial.measure import Witness, held_to

CONTENT = Content.new("base").write("A", (0, 1)).snapshot("cur").write("B", (1,))
EXPECTED = CONTENT.table()
OTHER = CONTENT.write("C", (3,)).table()
FILES = ("base", "cur")


def guest(*, wrong: bool = False) -> Witness:
    return Witness("the guest", ["guest"], (OTHER if wrong else EXPECTED).of(["guest"]).rows)


def reader(who: str, *, wrong: bool = False) -> Witness:
    return Witness(who, FILES, (OTHER if wrong else EXPECTED).of(FILES).rows)


def test_all_that_agree_are_believed() -> None:
    held_to(EXPECTED, [guest(), reader("we"), reader("QEMU")], "it is so")


def test_what_the_guest_alone_reads_wrong_is_said_of_the_guest() -> None:
    with pytest.raises(CheckFailed) as caught:
        held_to(EXPECTED, [guest(wrong=True), reader("we"), reader("QEMU")], "it is so")

    assert caught.value.seen == "otherwise, by the guest; as expected, by we and QEMU"
    assert "guest shows: cell 3 should be a hole, is C" in caught.value.difference
    assert "cur" not in caught.value.difference


def test_it_does_not_stop_at_the_first_that_disagrees() -> None:
    torn = replace(reader("QEMU", wrong=True), rows=reader("QEMU").rows[:1])
    with pytest.raises(CheckFailed) as caught:
        held_to(EXPECTED, [guest(wrong=True), reader("we", wrong=True), torn], "it is so")

    assert caught.value.seen == "otherwise, by the guest and we and QEMU"
    said = caught.value.difference
    assert said.index("the guest:") < said.index("\nwe:") < said.index("\nQEMU:\ncur was not measured")


def test_two_that_see_the_same_are_told_of_once() -> None:
    with pytest.raises(CheckFailed) as caught:
        held_to(EXPECTED, [reader("we", wrong=True), reader("QEMU", wrong=True)], "it is so")

    assert caught.value.difference.count("cur contains: cell 3 should be a hole, is C") == 1


def test_one_that_cannot_read_does_not_silence_the_others() -> None:
    blind = Witness("QEMU", FILES, failure="sn1: it cannot be read: no cluster boundary")
    with pytest.raises(CheckFailed, match="as expected, by the guest and we") as caught:
        held_to(EXPECTED, [guest(), reader("we"), blind], "it is so")

    assert caught.value.difference == "sn1: it cannot be read: no cluster boundary"
