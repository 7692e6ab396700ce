"""Rows that a run leaves out unless it has the time for them (--tier full): others like them stand for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

DEFAULT, FULL = "default", "full"
_left_out = pytest.StashKey[int]()


def add_options(parser: pytest.Parser) -> None:
    """Which tier."""
    group = parser.getgroup("chainproof", "chainproof: what is run")
    words = f"which rows are run: {DEFAULT}, or all of them ({FULL})"
    group.addoption("--tier", choices=(DEFAULT, FULL), default=DEFAULT, help=words)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked as of the full tier, but not what the command line names by its id."""
    if config.option.tier == FULL:
        return
    named = [argument.partition("::")[2] for argument in config.args if "::" in argument]
    left_out = [item for item in items if item.get_closest_marker(FULL) and not _is_named(item, named)]
    if left_out:
        config.stash[_left_out] = len(left_out)
        leave_out(config, items, left_out)


def leave_out(config: pytest.Config, items: list[pytest.Item], left_out: list[pytest.Item]) -> None:
    """Take some of the `items` out, and have pytest count them as deselected."""
    without = set(left_out)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in without]


def _is_named(item: pytest.Item, named: list[str]) -> bool:
    of_file = item.nodeid.partition("::")[2]
    return any(of_file == each or of_file.startswith((f"{each}[", f"{each}::")) for each in named)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the run that this worker is of."""
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput[FULL] = config.stash.get(_left_out, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Hear it from a worker: each has the same rows."""
    node.config.stash[_left_out] = getattr(node, "workeroutput", {}).get(FULL, 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many there are."""
    count = config.stash.get(_left_out, 0)
    if count:
        line = f"chainproof: {count} rows of the full tier are left out; --tier {FULL} runs them"
        terminalreporter.write_line(line)
