"""pytest in the place of the shell that started it, with a usage error as exit status 2, like everywhere here."""

from __future__ import annotations

import os
import sys

import pytest


def main() -> int:
    """Run pytest with this process's arguments."""
    try:
        status = pytest.main()
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read what we print is gone: say nothing more, at the interpreter's end neither
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 2 if status == pytest.ExitCode.USAGE_ERROR else int(status)


if __name__ == "__main__":
    sys.exit(main())
