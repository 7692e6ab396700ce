"""pytest in the place of the shell that started it, with a usage error as exit status 2, like everywhere here."""

from __future__ import annotations

import sys

import pytest


def main() -> int:
    """Run pytest with this process's arguments."""
    status = pytest.console_main()
    return 2 if status == pytest.ExitCode.USAGE_ERROR else status


if __name__ == "__main__":
    sys.exit(main())
