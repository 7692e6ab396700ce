"""Scenarios in which something dies or stops that should not; each is followed by one that must be none the worse.

Not collected by itself, since every other one fails: test_one_dies.py runs it and reads what is said.
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from harness.detect.dying import ROWS
from harness.detect.saboteur import Saboteur, Scene, fire
from harness.trial.nouns import Vm
from harness.trial.trial import Trial


@pytest.mark.parametrize("then", ["it dies", "the next"])
@pytest.mark.parametrize("saboteur", ROWS, ids=str)
def test_one_dies(trial: Trial, layered: Vm, saboteur: Saboteur, then: str) -> None:
    """What dies, and then a write, a snapshot and a look: whatever is first to notice. The next is none the worse."""
    vda = layered.disk("vda")
    if then == "it dies":
        with ExitStack() as stack:
            noticed = fire(Scene(trial, stack), saboteur)
        if noticed is not None:
            raise noticed
    vda.write("E", (1, 9))
    vda.snapshot("late")
    trial.verify("after")
