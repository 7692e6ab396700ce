"""pytest in the place of the shell that started it, with a usage error as exit status 2, like everywhere here."""

from __future__ import annotations

import runpy
import sys

import pytest


def main() -> int:
    """Run `python -m pytest` with this process's arguments."""
    try:
        runpy.run_module("pytest", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
        return 2 if status == pytest.ExitCode.USAGE_ERROR else status
    return 0


if __name__ == "__main__":
    sys.exit(main())
