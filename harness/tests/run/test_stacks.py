"""A scenario's id without its stack comes from its parameters, never from its text."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.detect.inner_run import ROOT
from harness.process import run

CONFTEST = """
import pytest

from harness.run.stacks import pytest_generate_tests, stack_and_scenario


def pytest_addoption(parser):
    parser.addoption("--stack", action="append", default=[])
    for name in ("--upgrade-to", "--procedure-on"):
        parser.addoption(name, action="append", default=[])
    for piece in ("libvirtd", "virsh", "qemu", "qemu-img"):
        parser.addoption(f"--{piece}")


@pytest.fixture(scope="session")
def stack(request):
    return getattr(request, "param", "host")


def pytest_collection_modifyitems(items):
    for item in items:
        print("place:", stack_and_scenario(item))
"""
TESTS = """
import pytest


@pytest.mark.parametrize("other", ["vhost-user", "host-a"])
def test_x(stack, other):
    pass


def test_y(stack):
    pass


def test_z():
    pass
"""


def places(tmp_path: Path, *arguments: str) -> list[str]:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_host-.py").write_text(TESTS)
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/stacks.toml").write_text("")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-qs", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), *arguments]
    ended = run(
        [*command, str(tmp_path)], timeout=60, environment={**kept, "PYTHONPATH": str(ROOT)}, directory=tmp_path
    )
    return [line.removeprefix("place: ") for line in ended.stdout.splitlines() if line.startswith("place: ")]


def test_it_is_cut_out_where_it_is_a_parameter(tmp_path: Path) -> None:
    assert sorted(places(tmp_path, "--stack", "host", "--stack", "debian:sid")) == [
        "('debian:sid', 'test_host-.py::test_x[host-a]')",
        "('debian:sid', 'test_host-.py::test_x[vhost-user]')",
        "('debian:sid', 'test_host-.py::test_y')",
        "('host', 'test_host-.py::test_x[host-a]')",
        "('host', 'test_host-.py::test_x[vhost-user]')",
        "('host', 'test_host-.py::test_y')",
        "None",
    ]


def test_it_is_the_host_where_no_other_is_named(tmp_path: Path) -> None:
    assert places(tmp_path) == [
        "('host', 'test_host-.py::test_x[vhost-user]')",
        "('host', 'test_host-.py::test_x[host-a]')",
        "('host', 'test_host-.py::test_y')",
        "None",
    ]
