"""The faults of storage as the preload reads them, and what it tells of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.acts.calls import Fault
from harness.errors import WaitTimeout
from harness.stack import storage_faults
from harness.stack.storage_faults import StorageFaults, spelt


@pytest.fixture
def faults(tmp_path: Path) -> StorageFaults:
    return StorageFaults(tmp_path)


def test_each_fault_is_a_line_with_a_number_of_its_own(faults: StorageFaults, tmp_path: Path) -> None:
    faults.put(Fault("/cur.qcow2", "write", "ENOSPC", times=2, first=4096, last=8191))
    faults.put(Fault("/base.qcow2", "read", "stall"))

    lines = (tmp_path / "faults").read_text().splitlines()
    assert lines == ["1 write /cur.qcow2 4096 8191 28 2", f"2 read /base.qcow2 0 {1 << 62} 0 0"]


def test_all_is_well_when_it_is_healed(faults: StorageFaults, tmp_path: Path) -> None:
    faults.put(Fault("/cur.qcow2", "write"))
    faults.heal()

    assert (tmp_path / "faults").read_text() == ""


def test_a_fault_that_is_met_is_waited_for(faults: StorageFaults, tmp_path: Path) -> None:
    faults.put(Fault("/cur.qcow2", "write"))
    (tmp_path / "faults.hits").write_text("1 write 65536 4096\n")
    faults.await_hit()

    assert faults.hits() == [(1, "write", 65536, 4096)]


def test_a_fault_that_nothing_meets_shows_nothing_and_is_an_error(
    faults: StorageFaults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_faults, "_TIMEOUT", 0.05)
    faults.put(Fault("/cur.qcow2", "write"))
    faults.put(Fault("/cur.qcow2", "flush"))
    (tmp_path / "faults.hits").write_text("1 write 65536 4096\n")

    with pytest.raises(WaitTimeout, match=r"nothing has met .*operation='flush'"):
        faults.await_hit()


def test_nothing_is_left_of_it(faults: StorageFaults, tmp_path: Path) -> None:
    faults.put(Fault("/cur.qcow2", "write"))
    (tmp_path / "faults.hits").write_text("1 write 65536 4096\n")
    faults.close()

    assert list(tmp_path.iterdir()) == []
    assert faults.hits() == []


def test_a_daemon_without_the_preload_is_told_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mark the scenario \(ill_storage\)"):
        StorageFaults(tmp_path / "none").put(Fault("/cur.qcow2", "write"))


@pytest.mark.parametrize(("error", "number"), [("EIO", 5), ("ENOSPC", 28), ("stall", 0)])
def test_an_error_is_spelt_by_its_number(error: str, number: int) -> None:
    fault = Fault("/cur.qcow2", "read", error)  # type: ignore[arg-type]

    assert spelt(fault) == f"read /cur.qcow2 0 {1 << 62} {number} 0"
