"""What a run was given, looked at before anything starts: a line for each thing that cannot be used."""

from __future__ import annotations

import math
import tempfile
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from harness.errors import Unusable
from harness.run.settings import settings_of
from harness.settings import no_system_mode
from harness.stack import kinds

PROBE = bytes(1 << 16)


def positive(text: str) -> float:
    """A factor on the command line."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text} is no number above 0")
    return value


def count(text: str) -> int:
    """How often, on the command line."""
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


def look_at(config: pytest.Config) -> None:
    """Raise Unusable, with a line for each problem, if a name means nothing or a directory cannot be written to."""
    option = config.option
    sets = config.rootpath / "ci" / "stacks.toml"
    looks: list[Callable[[], None]] = [
        lambda: kinds.refuse_unreadable([*option.stack, *option.upgrade_to, *option.procedure_on], sets),
        lambda: _require_mode(option.mode),
        *(partial(_require_named, config.invocation_params.dir, name) for name in config.args),
        *_directories(config),
    ]
    problems = []
    for look in looks:
        try:
            look()
        except Unusable as error:
            problems.append(str(error))
    if problems:
        raise Unusable("\n".join(problems))


def _require_mode(wanted: str) -> None:
    why_not = no_system_mode()
    if wanted == "system" and why_not:
        raise Unusable(f"--mode system is impossible: {why_not}", "use --mode session, or auto")


def _require_named(directory: Path, name: str) -> None:
    """Workers would find out, and say nothing."""
    path = name.partition("::")[0]
    if not (directory / path).exists():
        raise Unusable(f"file or directory not found: {path}", "name one that is there, or none to run all")


def _directories(config: pytest.Config) -> Iterator[Callable[[], None]]:
    settings = settings_of(config)
    cache = settings.cache
    yield lambda: require_writable("work directory", settings.work, "--work-dir")
    yield lambda: require_writable("evidence directory", settings.evidence, "--evidence")
    rooms = (cache.images, cache.warm, cache.trees, cache.appliances)
    for directory in (cache.root, *(room for room in rooms if room.exists())):
        yield partial(require_writable, "cache directory", directory, "CHAINPROOF_CACHE=DIR in the environment")
    results: Path | None = config.option.results
    if results is not None:
        yield lambda: require_writable("directory for the results", results.absolute().parent, "--results")
        yield lambda: _require_no_directory(results)


def require_writable(what: str, directory: Path, option: str) -> None:
    """Raise Unusable unless files can be written to `directory`, or where it would be made; leaves nothing there."""
    there = next(path for path in (directory, *directory.parents) if path.exists() or path.is_symlink())
    try:
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(PROBE)
            probe.flush()
    except OSError as error:
        at = "" if there == directory else f" ({there})"
        problem = f"the {what} {directory} cannot be written{at}: {error.strerror}"
        raise Unusable(problem, f"choose another: {option}") from error


def _require_no_directory(results: Path) -> None:
    if results.is_dir():
        raise Unusable(f"the results cannot be written: {results} is a directory", "choose a file: --results")
