from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from harness import doctor
from harness.doctor import Fact, one_line, program_version, room
from harness.errors import CommandFailed, Unusable


class Usage(NamedTuple):
    free: int


def test_a_program_that_is_not_there_is_in_the_way() -> None:
    assert program_version("frob", "frobnicate") == Fact("frob", "not installed (frobnicate)", enough=False)


def test_a_version_is_what_the_program_itself_says() -> None:
    fact = program_version("util-linux", "setpriv")
    assert fact.enough
    assert fact.value[0].isdigit()


def test_a_directory_to_be_made_counts_by_the_one_that_it_is_made_in(tmp_path: Path) -> None:
    fact = room("cache", tmp_path / "not" / "yet")
    assert fact.enough
    assert str(tmp_path / "not" / "yet") in fact.value


def test_too_little_room_is_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(doctor.ROOM_BYTES - 1))
    fact = room("cache", tmp_path)
    assert not fact.enough
    assert "2 GiB are needed" in fact.value


def test_an_error_fits_on_one_line() -> None:
    assert one_line(CommandFailed(["a", "b"], 1, "", "x\ny\n")) == "exit status 1 from: a b | x | y"
    assert one_line(Unusable("no", "do this", "1\n2")) == "no; do this (2)"


def test_one_fact_in_the_way_is_enough_to_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for enough, status in ((True, 0), (False, 1)):
        found = [Fact("one", "is there"), Fact("two", "is what it is", enough)]
        monkeypatch.setattr(doctor, "facts", lambda *_, found=found: iter(found))
        assert doctor.main() == status
        assert capsys.readouterr().out == "one             is there\ntwo             is what it is\n"
