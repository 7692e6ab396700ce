"""A journal is enough to do a scenario again; one that was changed does another scenario, which is noticed."""

from __future__ import annotations

import pytest

from harness.errors import CheckFailed
from harness.trial.nouns import Vm
from harness.trial.replay import replay
from harness.trial.trial import Trial

pytestmark = pytest.mark.sabotaged


@pytest.mark.usefixtures("layered")
def test_a_label_that_was_changed_in_the_journal_is_noticed(trial: Trial) -> None:
    trial.verify("layered")
    journal = trial.journal.as_json_lines()
    assert '"label": "C"' in journal

    with trial.another() as again, pytest.raises(CheckFailed, match="gives the same journal") as caught:
        replay(journal.replace('"label": "C"', '"label": "X"'), again)

    assert "+sn2" in str(caught.value)


def test_an_act_that_was_taken_out_of_the_journal_is_noticed(trial: Trial, layered: Vm) -> None:
    with layered.disk("vda").pull() as job:
        job.wait_completed()
    trial.verify("pulled")
    lines = trial.journal.as_json_lines().splitlines(keepends=True)
    journal = "".join(line for line in lines if '"label": "D"' not in line)

    with trial.another() as again, pytest.raises(CheckFailed, match="gives the same journal"):
        replay(journal, again)
