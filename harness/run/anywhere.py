"""A plugin (`-p harness.run.anywhere`): tests outside the checkout have conftest.py's fixtures and options, too."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

_CONFTEST = Path(__file__).resolve().parents[2] / "conftest.py"


@pytest.hookimpl(trylast=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Load conftest.py unless pytest has: it looks beside the tests that are named, and above them.

    Under the name that pytest gives it, so that it is not loaded once more where tests of the checkout follow.
    """
    if not early_config.pluginmanager.has_plugin(str(_CONFTEST)):
        early_config.pluginmanager.register(importlib.import_module("conftest"), str(_CONFTEST))
