"""A libvirt or a QEMU with a defect, passed as a candidate build: the run is red, and says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.detect.inner_run import inner_run
from harness.detect.programs import (
    libvirtd_that_crashes,
    qemu_that_crashes,
    qemu_that_writes_elsewhere,
    virsh_that_crashes,
    virsh_that_does_not_pivot,
)
from harness.detect.saboteur import noticed
from harness.detect.saboteurs import named
from harness.report.compare import changes, read
from harness.run.detection import detected

pytestmark = pytest.mark.detected
PROCEDURE = "scenarios/procedure/test_live_merge.py"
SCENARIO = f"{PROCEDURE}::test_the_documented_live_merge_folds_the_whole_chain_into_its_base"
WITH_A_DEFECT = {
    "a virsh that does not pivot": ("virsh", virsh_that_does_not_pivot),
    "a virsh that crashes": ("virsh", virsh_that_crashes),
    "a libvirtd that crashes": ("libvirtd", libvirtd_that_crashes),
    "a QEMU that crashes": ("qemu", qemu_that_crashes),
}
"""By the saboteur's name: the option that takes it, and what makes it."""


@pytest.mark.parametrize("name", WITH_A_DEFECT)
def test_a_program_with_a_defect_is_a_finding_and_no_unusable_machine(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    option, make = WITH_A_DEFECT[name]
    candidate, results = f"host+{option}={make(tmp_path)}", tmp_path / "results.json"
    with detected(named(name), record_property) as record:
        ended = inner_run(PROCEDURE, "--guest", "cold", "--stack", candidate, "--results", str(results))

        assert ended.exit_status == 1, ended.output
        record(noticed(named(name), read(f"{results}:{candidate}").cells[SCENARIO].findings))


def test_a_qemu_that_writes_to_another_file_than_it_was_told(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """And `ci/run compare` of the two says in a line what changed."""
    candidate = f"host+qemu={qemu_that_writes_elsewhere(tmp_path)}"
    results, saboteur = tmp_path / "results.json", named("a QEMU that writes elsewhere")
    both = ("--stack", "host", "--stack", candidate, "--results", str(results))
    with detected(saboteur, record_property) as record:
        ended = inner_run(PROCEDURE, "--guest", "cold", *both)

        assert ended.exit_status == 1, ended.output
        before, after = (read(f"{results}:{name}") for name in ("host", candidate))
        record(noticed(saboteur, after.cells[SCENARIO].findings))
    lines = changes(before, after)
    assert lines[2:5] == ["breaks:", f"  {SCENARIO}", "      pass, now fail"]
    assert re.fullmatch(" +after:  .* at T0.* - but: .*; base contains: cells 0-3 should be A, is a hole", lines[5])
