"""What became of the saboteurs of a run; as a plugin (`-p harness.run.detection`): the table of them at its end."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from harness.detect.catalogue import document
from harness.detect.saboteur import Notice, Saboteur
from harness.run import properties

_SABOTEUR = "saboteur"
_WIDTH = 160


@dataclass(frozen=True)
class Fate:
    """What became of a saboteur: which check noticed it ("": none that is meant to), how soon, in which words."""

    name: str
    line: str
    check: str = ""
    seconds: float = 0.0
    acts: int = 0

    def __str__(self) -> str:
        how = (
            f"{self.check} | {self.seconds:.2f} s, {self.acts} acts"
            if self.check
            else "NOT NOTICED AS IT IS MEANT TO BE"
        )
        return f"{self.name} | {how} | {textwrap.shorten(self.line, _WIDTH, placeholder=' ...')}"


@contextmanager
def detected(saboteur: Saboteur, record_property: Callable[[str, object], None]) -> Iterator[Callable[[Notice], None]]:
    """Pass on what becomes of a saboteur in the body, which says how it was noticed."""
    fate = Fate(saboteur.name, "the test did not come to it")

    def record(notice: Notice) -> None:
        nonlocal fate
        fate = Fate(saboteur.name, **asdict(notice))

    try:
        yield record
    except Exception as error:
        fate = Fate(saboteur.name, str(error).partition("\n")[0])
        raise
    finally:
        record_property(_SABOTEUR, json.dumps(asdict(fate)))


def pytest_configure(config: pytest.Config) -> None:
    """Register what prints the table."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Detected(config.rootpath / "scenarios/README.md"))


class Detected:
    """Prints, at the end, each saboteur with what has noticed it; and writes the table of all of them to `file`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._fates: list[Fate] = []
        self._problem = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep those of a test that has run."""
        if report.when == "call":
            self._fates += [Fate(**json.loads(text)) for text in properties.values(report, _SABOTEUR)]

    def pytest_sessionfinish(self) -> None:
        """Write the table of all saboteurs, if it is another."""
        text = document()
        try:
            if not self._file.exists() or self._file.read_text() != text:
                self._file.write_text(text)
        except OSError as error:  # the checkout may be somebody else's
            self._problem = f"{self._file} is not written: {error}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        terminalreporter.section("saboteur | noticed by | how soon | in which words")
        for fate in sorted(self._fates, key=lambda fate: not fate.check):
            terminalreporter.write_line(str(fate), red=not fate.check)
        noticed = sum(bool(fate.check) for fate in self._fates)
        terminalreporter.write_line(f"chainproof: {noticed} of {len(self._fates)} saboteurs are noticed as is meant")
        if self._problem:
            terminalreporter.write_line(f"chainproof: {self._problem}", red=True)
