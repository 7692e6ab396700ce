"""What the checks find first hides nothing that they find later."""

from __future__ import annotations

import pytest

from harness.acts.chain import ActiveCommit, AwaitReady, Pivot
from harness.detect.blindness import require_sight
from harness.detect.lies import abort_the_job, pretend, swapped
from harness.detect.patches import grow_file
from harness.errors import CheckFailed
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.verdict.checks import verify_all
from harness.verdict.finding import ChecksFailed
from harness.verdict.started_again import start_again

pytestmark = pytest.mark.sabotaged


def test_a_scenario_that_looks_at_nothing_is_blind(trial: Trial, layered: Vm) -> None:
    layered.shut_off()
    assert not require_sight(trial)
    with swapped(trial, "verify", lambda _: None), pytest.raises(CheckFailed, match="nothing was noticed"):
        require_sight(trial)


def test_a_vm_that_starts_again_on_another_chain_is_noticed(trial: Trial, layered: Vm) -> None:
    old = layered.xml(inactive=True)
    layered.disk("vda").snapshot("top")
    layered.disk("vda").write("E", (1,))
    layered.shut_off()
    assert start_again(trial) == []

    layered.domain.define(old)
    with pytest.raises(ChecksFailed, match="the chain in the live XML is base <- sn1 <- sn2 <- cur <- top"):
        start_again(trial)
    assert not layered.domain.is_running()


def test_what_is_found_with_the_vm_on_and_is_known_hides_nothing_that_is_found_with_it_off(
    trial: Trial, layered: Vm
) -> None:
    trial.do(ActiveCommit("vda", "base"), AwaitReady("vda"))
    pretend(trial, Pivot("vda"), instead=lambda: abort_the_job(trial))
    grow_file(trial, "base", 10 << 20)

    with pytest.raises(ChecksFailed) as caught:
        verify_all(trial, explained=lambda _: True)

    assert {"chain in the live XML", "allocation"} <= {finding.check for finding in caught.value.findings}
    assert not layered.domain.is_running()
