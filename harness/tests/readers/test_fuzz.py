"""Whatever an image is made of: an ImageError or the bytes that QEMU reads, in little time and little memory."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from harness.process import run
from harness.tests.oracle.tools import needs_qemu_img

pytestmark = needs_qemu_img

COUNT = int(os.environ.get("CHAINPROOF_FUZZ", "200"))
"""How many images are tried; thousands by hand, from time to time."""
SEED = os.environ.get("CHAINPROOF_FUZZ_SEED", "chainproof")


def fuzzed(directory: Path, count: int, fault: str = "", seed: str = SEED) -> dict[str, object]:
    """What the fuzz says, in a process of its own."""
    command = [sys.executable, "-m", "harness.tests.readers.fuzz", str(directory), seed, str(count), fault]
    found = json.loads(run(command, timeout=180 + count).check().stdout)
    assert isinstance(found, dict)
    return found


def test_a_mutated_image_is_an_image_error_or_read_as_qemu_does(tmp_path: Path) -> None:
    found = fuzzed(tmp_path, COUNT)

    print(json.dumps(found, indent=2))
    assert found["faults"] == []
    assert found["images"] == COUNT
    outcomes = found["outcomes"]
    assert isinstance(outcomes, dict)
    assert outcomes["read, as QEMU does"] > COUNT / 10  # or nothing was compared
    assert len(outcomes) > 15  # kinds of errors


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raises", "FAULT: IndexError: list index out of range"),
        ("hangs", "FAULT: Late"),
        ("takes memory", "FAULT: MemoryError"),
        ("is fickle", "FAULT: two readings differ"),
        ("reads other bytes", "FAULT: QEMU reads other bytes"),
    ],
)
def test_the_fuzz_notices_a_reader_that(fault: str, words: str, tmp_path: Path) -> None:
    found = fuzzed(tmp_path, 1 if fault == "hangs" else 10, fault)

    faults = found["faults"]
    assert isinstance(faults, list)
    assert faults
    assert faults[0].startswith(words)


def test_images_that_would_take_memory_or_time_without_end_are_refused(tmp_path: Path) -> None:
    whole = "CHAINPROOF_FUZZ" in os.environ
    found = fuzzed(tmp_path, int(whole), seed="bombs")

    in_pieces, tables = (
        "is broken up into too many pieces: up to # are read together",
        "has more L# tables than # bytes",
    )
    assert {name: str(words).removeprefix("ImageError: ") for name, words in found.items()} == {
        "alternating_entries": in_pieces,
        "alternating_subclusters": in_pieces,
        **({"more_tables_than_can_be_read": f"{tables}, which take too long"} if whole else {}),
        "sparse_tables": f"{tables}, which take too long",
        "one_cluster_a_million_times": "holds too much from byte # on to be looked through",
        "one_packed_cluster_a_million_times": "holds too much from byte # on to be looked through",
        "deep_chain": "has a backing chain of more than # images",
        **dict.fromkeys(["empty_table_of_32_mib", "large_layers", "raw_file_of_holes"], "read"),
    }


def test_without_limits_they_would(tmp_path: Path) -> None:
    found = fuzzed(tmp_path, 0, "no limits", seed="bombs")

    assert len(found) == 2
    assert all(str(words).startswith(("FAULT: MemoryError", "FAULT: Late")) for words in found.values())
