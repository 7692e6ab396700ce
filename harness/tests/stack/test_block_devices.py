"""Block devices: as large as asked for, foreign bytes where asked for, and gone with whoever has them."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from harness.errors import Unusable
from harness.process import spawn
from harness.stack.block_devices import BlockDevice, why_none
from harness.storage.stores import beneath
from harness.waiting import NotYet, wait_until

SIZE = 1 << 20
_HOLDER = """
import sys
from pathlib import Path
from harness.stack.block_devices import BlockDevice
held = BlockDevice(Path(sys.argv[1]), 1 << 20)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    if why := why_none(tmp_path):
        pytest.skip(f"no block device can be had: {why}")
    return tmp_path / "device"


def backing_files() -> set[str]:
    return {file.read_text().strip() for file in Path("/sys/block").glob("loop*/loop/backing_file")}


def test_what_is_written_is_read_in_the_file_beneath(place: Path) -> None:
    with BlockDevice(place, SIZE) as device:
        assert place.is_block_device()
        with place.open("r+b") as opened:
            opened.write(b"A" * 4096)
        device.flush()
        assert beneath(place).read_bytes() == b"A" * 4096 + bytes(SIZE - 4096)

        device.wipe()
        assert beneath(place).read_bytes() == bytes(SIZE)


def test_one_that_is_stale_has_foreign_bytes_everywhere(place: Path) -> None:
    with BlockDevice(place, SIZE, stale=True), place.open("rb") as opened:
        assert opened.read() == b"foreign." * (SIZE // 8)


def test_it_is_gone_when_it_is_closed(place: Path) -> None:
    BlockDevice(place, SIZE).close()

    assert str(beneath(place)) not in backing_files()
    assert not place.exists()
    assert not beneath(place).exists()


def test_it_is_gone_with_a_process_that_is_killed(place: Path) -> None:
    with spawn([sys.executable, "-c", _HOLDER, str(place)]) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        assert str(beneath(place)) in backing_files()
        child.send_signal(signal.SIGKILL)

    def gone() -> None:
        if str(beneath(place)) in backing_files():
            raise NotYet("the loop device is there")

    wait_until("the loop device to be gone", gone, timeout=10, interval=0.01)


def test_where_there_can_be_none_it_is_said_why(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"no block device can be had: .*nowhere"):
        BlockDevice(tmp_path / "nowhere" / "device", SIZE)
