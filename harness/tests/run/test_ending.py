"""Every way in which a run can end, and its exit status: red is never green."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from harness.process import Completed, end, read_until, run, spawn
from harness.run.ending import Status
from harness.waiting import now

ROOT = Path(__file__).resolve().parents[3]
PASSES = "def test_a(): pass\ndef test_b(): pass\n"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "harness.run", "unit", "-p", "no:cacheprovider", *arguments]


def environment(directory: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**kept, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}


def ended(directory: Path, tests: str, plugin: str, *arguments: str) -> Completed:
    """A run of the text `tests` with the text `plugin` as a plugin of it and its workers."""
    (directory / "test_text.py").write_text(tests)
    (directory / "plugged.py").write_text(f"import os, sys, signal, pytest\n{plugin}\n")
    line = command("-p", "plugged", str(directory / "test_text.py"), *arguments)
    return run(line, timeout=60, environment=environment(directory), directory=ROOT)


WORKERS = ("-n", "2")
IN_A_WORKER = "if 'PYTEST_XDIST_WORKER' in os.environ:\n    "
WAYS = {
    "all held": (0, PASSES, "", ()),
    "all held, workers": (0, PASSES, "", WORKERS),
    "one failed": (1, "def test_a(): assert 0", "", ()),
    "one failed, and the run stops there": (1, f"{PASSES}def test_0(): assert 0", "", (*WORKERS, "-x")),
    "exception in a fixture": (1, PASSES, "@pytest.fixture(autouse=True)\ndef f():\n    raise OSError", ()),
    "exception in a fixture's end": (1, PASSES, "@pytest.fixture(autouse=True)\ndef f():\n    yield\n    1 / 0", ()),
    "sys.exit in a test": (1, "def test_a():\n    raise SystemExit(0)", "", ()),
    "no such option": (2, PASSES, "", ("--nonsense",)),
    "no such file": (2, PASSES, "", ("nonsense.py",)),
    "nothing selected": (2, PASSES, "", ("-k", "nonsense")),
    "nothing selected, workers": (2, PASSES, "", (*WORKERS, "-k", "nonsense")),
    "a test that cannot be read": (2, "import nonsense", "", ()),
    "a test that cannot be read, workers": (2, "import nonsense", "", WORKERS),
    "sys.exit with a text in a plugin": (3, PASSES, "def pytest_sessionstart():\n    sys.exit('some words')", ()),
    "sys.exit(0) at a plugin's import": (3, PASSES, "sys.exit(0)", ()),
    "sys.exit(0) in a worker": (
        3,
        PASSES,
        f"{IN_A_WORKER}def pytest_runtest_logreport():\n        sys.exit(0)",
        WORKERS,
    ),
    "pytest.exit with status 0": (3, PASSES, "def pytest_runtest_logstart():\n    pytest.exit('so', 0)", ()),
    "kill of a worker before its first test": (
        3,
        PASSES,
        f"{IN_A_WORKER}def pytest_collection_finish():\n        os.kill(os.getpid(), signal.SIGKILL)",
        WORKERS,
    ),
    "kill of a worker in a test": (1, f"{PASSES}import os\ndef test_0(): os.kill(os.getpid(), 9)", "", WORKERS),
    "kill of a worker after its last test": (
        3,
        PASSES,
        f"{IN_A_WORKER}def pytest_sessionfinish():\n        os.kill(os.getpid(), signal.SIGKILL)",
        WORKERS,
    ),
    "a verdict that is lost": (
        3,
        PASSES,
        "@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_protocol(): return True",
        (),
    ),
}
HOOKS = ("pytest_configure", "pytest_collection_modifyitems", "pytest_runtest_logstart", "pytest_runtest_makereport",
         "pytest_runtest_logreport", "pytest_sessionfinish", "pytest_unconfigure")  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_way_to_end_has_its_exit_status(way: str, tmp_path: Path) -> None:
    status, tests, plugin, arguments = WAYS[way]
    done = ended(tmp_path, tests, plugin, *arguments)
    assert done.exit_status == status, done.output


# but for a worker's pytest_unconfigure: by then it has said goodbye, and nothing of ours is done there
@pytest.mark.parametrize(
    ("hook", "where"),
    [
        *((hook, "the run") for hook in HOOKS),
        *(pytest.param(hook, "a worker", marks=pytest.mark.full if n else []) for n, hook in enumerate(HOOKS[:-1])),
    ],
)
def test_an_exception_in_any_hook_is_an_internal_error(hook: str, where: str, tmp_path: Path) -> None:
    plugin = f"def {hook}():\n    raise OSError('no space')"
    if where == "a worker":
        plugin = f"if 'PYTEST_XDIST_WORKER' in os.environ:\n    def {hook}():\n        raise OSError('no space')"
    done = ended(tmp_path, PASSES, plugin, *(() if where == "the run" else WORKERS))
    assert done.exit_status == Status.INTERNAL, done.output
    assert "no space" in done.output


def test_what_ends_a_run_is_printed(tmp_path: Path) -> None:
    done = ended(tmp_path, PASSES, "def pytest_sessionstart():\n    sys.exit('some words')")
    assert "SystemExit: some words" in done.stdout
    done = ended(tmp_path, PASSES, "sys.exit('more words')")
    assert "something ended the run before its end: more words" in done.stderr
    done = ended(tmp_path, PASSES, WAYS["a verdict that is lost"][2])
    assert "chainproof: 2 of 2 selected tests have no verdict: " in done.stdout
    done = ended(tmp_path, PASSES, WAYS["kill of a worker after its last test"][2], *WORKERS)
    assert "chainproof: worker gw0 ended: Not properly terminated" in done.stdout
    done = ended(tmp_path, WAYS["kill of a worker in a test"][1], "", *WORKERS)
    assert re.search(r"worker 'gw\d' crashed while running '.*test_0': its process was ended by SIGKILL", done.stdout)


WAITS = "import time\ndef test_a(): pass\ndef test_b():\n    print('here', file=open('{}', 'w'))\n    {}\n"
STUCK = {
    "polite": "import threading; threading.Event().wait()",
    "lingering": "import threading\n    try: threading.Event().wait()\n    finally: threading.Event().wait()",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
@pytest.mark.parametrize("workers", [(), WORKERS], ids=["one process", "workers"])
@pytest.mark.parametrize("how", ["polite", pytest.param("lingering", marks=pytest.mark.full)])
def test_an_interrupted_run_ends_soon_with_a_status_of_its_own(
    how: str, workers: tuple[str, ...], number: signal.Signals, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    os.mkfifo(here)
    (tmp_path / "test_text.py").write_text(WAITS.format(here, STUCK[how]))
    line = command("-v", str(tmp_path / "test_text.py"), *workers)
    child = spawn(line, environment=environment(tmp_path), directory=ROOT)
    assert child.stdout is not None
    fifo = os.open(here, os.O_RDWR)
    try:
        read_until(fifo, b"here", "the test to begin", seconds=60)
        began = now()
        os.kill(child.pid, number)
        printed = read_until(child.stdout.fileno(), None, "the end", seconds=30)
        seconds = now() - began
        assert end(child, timeout=10) == 128 + number, printed.decode()
    finally:
        os.close(fifo)
        end(child, timeout=10)
    assert seconds < 10
