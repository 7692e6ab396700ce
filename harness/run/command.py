"""The verbs of ci/run that run tests: their arguments, in pytest's words, and their exit status."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.errors import Unusable
from harness.report import compare as comparison
from harness.run.ending import Ending, Status
from harness.run.interruption import Interruption
from harness.run.procedures import PROCEDURES, listed
from harness.stack.rooted import stand_on_a_mount

ROOT = Path(__file__).resolve().parents[2]
# pytest's own report gives way to the narration, and with it the options of pyproject.toml that are about it
_NARRATED = ("-o", "addopts=--strict-markers --strict-config", "-p", "no:terminal", "-p", "no:cacheprovider")
_REPLAYED = ("--replay", "scenarios/procedure", "--replay", "scenarios/commit", "--replay", "scenarios/pull")


class BadCommand(Exception):
    """A command line that makes no sense."""


def main(arguments: Sequence[str]) -> int:
    """Act on a verb with its arguments; returns the exit status (harness.run.ending.Status)."""
    try:
        stand_on_a_mount()
    except Unusable as error:
        print(f"ci/run: {error}", file=sys.stderr)
        return Status.UNUSABLE
    with Interruption() as interruption:
        try:
            verb, *rest = arguments
            if verb == "compare":
                return compare(rest, interruption)
            if (verb, rest) == ("procedure", ["--list"]):
                print(listed())
                return Status.HELD
            return run_pytest(verb, pytest_arguments(verb, rest), interruption)
        except BadCommand as error:
            print(f"ci/run: {error}", file=sys.stderr)
            return Status.UNUSABLE
        except KeyboardInterrupt:
            return interruption.status() or Status.INTERRUPTED


def pytest_arguments(verb: str, rest: Sequence[str]) -> list[str]:
    """The arguments of pytest for a verb. What `rest` names is run, and if it names nothing, all that the verb is for.

    Raises BadCommand for a verb that does not run pytest.
    """
    if verb == "unit":
        return [*_in("harness/tests"), *rest]
    if verb == "scenarios":
        return [*_in("scenarios"), *_spread(), *rest]
    if verb == "coverage":
        return [*_in("scenarios"), *_spread(), "--tier", "full", "--coverage", "--start-again", "--wrong-images", *rest]
    if verb == "test":
        return [*_in("harness/tests scenarios"), *_spread(), "--procedure-on", "default", *_REPLAYED, *rest]
    if verb == "procedure":
        name, *more = rest if rest and not rest[0].startswith("-") else ("live-merge", *rest)
        if name not in PROCEDURES:
            raise BadCommand(f"there is no procedure {name}; ci/run procedure --list has those that there are")
        file = f"scenarios/procedure/{PROCEDURES[name].file}"
        return [*_in(file), *_NARRATED, "-p", "no:xdist", "--narrate", *more]
    if verb == "detect":
        return [*_in("scenarios/negative_control"), *_spread(), "-p", "harness.run.detection", "-m", "detected", *rest]
    if verb == "explore":
        return [
            *_explored(rest),
            *_spread(),
            "--dist",
            "load",
            "--maxschedchunk",
            "1",
            *(a for a in rest if a != "--walk"),
        ]
    if verb == "soak":
        hours = ["--soak" if word == "--hours" else word.replace("--hours=", "--soak=") for word in rest]
        return [*_in("scenarios"), "--ignore", str(ROOT / "scenarios/explore"), *_spread(), *_hours(hours), *hours]
    if verb == "matrix":
        names, more = _names_first(rest)
        return [*_in("scenarios"), *_spread(), *_stacks(names or ["default"]), *more]
    raise BadCommand(f"there is no verb {verb}")


def _hours(rest: Sequence[str]) -> list[str]:
    """An hour, unless something else is said."""
    return [] if any(word.partition("=")[0] == "--soak" for word in rest) else ["--soak", "1"]


def _explored(rest: Sequence[str]) -> list[str]:
    """Where the scenarios are that explore as it is wanted, and with how many walkers; all of them if nothing is."""
    wanted = {"--exhaustive": "sequences", "--walk": "walks", "--program": "saved", "--deaths": "deaths"}
    names = [name for option, name in wanted.items() if any(a.partition("=")[0] == option for a in rest)]
    paths = [f"scenarios/explore/test_{name}.py" for name in names] or ["scenarios/explore"]
    return [*_in(" ".join(paths)), "--walkers", str(os.cpu_count() or 1)]


def _in(paths: str) -> list[str]:
    # pytest takes testpaths only if the arguments name no file
    return [
        "-p",
        "harness.run.anywhere",
        "--rootdir",
        str(ROOT),
        "-c",
        str(ROOT / "pyproject.toml"),
        "-o",
        f"testpaths={paths}",
    ]


def remembering(arguments: Sequence[str], directory: str | None) -> list[str]:
    """`arguments` with pytest's cache in `directory`, unless that is None or they have no cache."""
    if directory is None or any(argument.endswith("no:cacheprovider") for argument in arguments):
        return list(arguments)
    return ["-o", f"cache_dir={directory}", *arguments]


def _spread() -> list[str]:
    """One worker more than there are cores: a scenario waits for a quarter of its time."""
    return ["-n", str((os.cpu_count() or 1) + 1), "--dist", "worksteal"]


def _stacks(names: Sequence[str]) -> list[str]:
    return [part for name in names for part in ("--stack", name)]


def _names_first(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names, and from the first option (or after a `--`) on what is pytest's."""
    first = next((at for at, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
    more = arguments[first + 1 :] if arguments[first : first + 1] == ["--"] else arguments[first:]
    return list(arguments[:first]), list(more)


class _Named:
    """A plugin: usage and errors speak of what was typed."""

    def __init__(self, verb: str) -> None:
        self._verb = verb

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        parser.prog = f"ci/run {self._verb}"


def run_pytest(verb: str, arguments: Sequence[str], interruption: Interruption) -> int:
    """Run pytest in this process, to the exit status that its end comes to, whatever the end."""
    ending = Ending(interruption.status)
    arguments = remembering(arguments, os.environ.get("CHAINPROOF_PYTEST_CACHE"))
    try:
        return ending.final(pytest.main(arguments, plugins=[ending, _Named(verb)]))
    except KeyboardInterrupt:
        return interruption.status() or Status.INTERRUPTED
    except SystemExit as error:  # a plugin's: pytest itself returns
        print(f"chainproof: something ended the run before its end: {error}", file=sys.stderr)
    except BaseException:  # noqa: BLE001 - the last way out of all
        traceback.print_exc()
    return interruption.status() or Status.INTERNAL


def compare(arguments: Sequence[str], interruption: Interruption) -> int:
    """Compare two stacks or saved results; those that are not saved are run first, together."""
    names, more = _names_first(arguments)
    if len(names) != 2:
        raise BadCommand(comparison.USAGE)
    to_run = [name for name in names if not Path(name.partition(":")[0]).is_file()]
    with _results(more) as results:
        if to_run:
            options = [*_in("scenarios"), *_spread(), *_stacks(to_run), "--every-stack", "--results", str(results)]
            status = run_pytest("compare", [*options, *more], interruption)
            if status > Status.FAILED:  # what failed on both is no difference; a run that broke off is no comparison
                return status
        before, after = (f"{results}:{name}" if name in to_run else name for name in names)
        return comparison.main(before, after)


@contextmanager
def _results(arguments: Sequence[str]) -> Iterator[Path]:
    """The file of results that the arguments name, else one that is removed at the end."""
    for at, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option == "--results" and (equals or arguments[at + 1 :]):
            yield Path(value if equals else arguments[at + 1])
            return
    with tempfile.TemporaryDirectory(prefix="chainproof-compared-") as directory:
        yield Path(directory) / "results.json"
