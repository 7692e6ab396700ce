"""A libvirt or a QEMU with a defect, passed as a candidate build: the run is red, and says what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.detect.inner_run import inner_run
from harness.detect.sabotage import (
    libvirtd_that_crashes,
    qemu_that_crashes,
    qemu_that_writes_elsewhere,
    virsh_that_crashes,
    virsh_that_does_not_pivot,
)
from harness.report.compare import changes, read

PROCEDURE = "scenarios/procedure/test_live_merge.py"
SCENARIO = f"{PROCEDURE}::test_the_documented_live_merge_folds_the_whole_chain_into_its_base"
CRASHING = {
    "virsh": (virsh_that_crashes, "was ended by SIGSEGV: virsh blockcommit"),
    "libvirtd": (libvirtd_that_crashes, "libvirtd of .* starts\n.*it was ended by SIGSEGV"),
    "qemu": (qemu_that_crashes, r"no process crashes\n.*process \d+ was ended by SIGSEGV"),
}
"""By the option that takes it: a program that crashes, and what is to be said of it."""


def test_a_virsh_that_only_says_that_it_pivoted(tmp_path: Path) -> None:
    ended = inner_run(PROCEDURE, "--guest", "cold", "--virsh", str(virsh_that_does_not_pivot(tmp_path)))

    assert ended.exit_status == 1, ended.output
    assert "{'vda': '/export/images/cur.qcow2'} != {'vda': '/export/images/base.qcow2'}" in ended.output


@pytest.mark.parametrize("name", CRASHING)
def test_a_program_of_the_release_that_crashes_is_a_finding_and_no_unusable_machine(name: str, tmp_path: Path) -> None:
    make, told = CRASHING[name]
    ended = inner_run(PROCEDURE, "--guest", "cold", f"--{name}", str(make(tmp_path)))

    assert ended.exit_status == 1, ended.output
    assert re.search(told, ended.output)


def test_a_qemu_that_writes_to_another_file_than_it_was_told(tmp_path: Path) -> None:
    """And `ci/run compare` of the two says in a line what changed."""
    candidate = f"host+qemu={qemu_that_writes_elsewhere(tmp_path)}"
    results = tmp_path / "results.json"
    both = ("--stack", "host", "--stack", candidate, "--results", str(results))
    ended = inner_run(PROCEDURE, "--guest", "cold", *both)

    assert ended.exit_status == 1, ended.output
    assert "base contains: cells 0-3 should be A, is a hole" in ended.output
    lines = changes(read(f"{results}:host"), read(f"{results}:{candidate}"))
    assert lines[2:5] == ["breaks:", f"  {SCENARIO}", "      pass, now fail"]
    assert re.fullmatch(" +after:  .* at T0.* - but: .*; base contains: cells 0-3 should be A, is a hole", lines[5])
