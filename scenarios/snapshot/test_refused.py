"""What libvirt must refuse: it says why, and nothing changes."""

from __future__ import annotations

import pytest

from harness.acts.act import Act
from harness.acts.chain import Abort, ActiveCommit, AwaitReady, Commit, Pivot, Snapshot
from harness.oracle.content import Impossible
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

REFUSALS: dict[str, tuple[tuple[Act, ...], Act, str]] = {
    "pivot without a job": (
        (),
        Pivot("vda"),
        "no current block job|not active|disk vda does not have an active block job",
    ),
    "abort without a job": (
        (),
        Abort("vda"),
        "no current block job|not active|disk vda does not have an active block job",
    ),
    "commit upwards": ((), Commit("vda", top="sn1", base="sn2"), "could not find (base|image)|not found|invalid"),
    "commit of the active layer": ((), Commit("vda", top="cur", base="sn1"), "active"),
    "snapshot during a job": (
        (ActiveCommit("vda", "base"), AwaitReady("vda")),
        Snapshot("vda", "late"),
        "block (copy|commit)? ?job|has an active|already in active block job|block copy",
    ),
    "second job": (
        (ActiveCommit("vda", "base"), AwaitReady("vda")),
        ActiveCommit("vda", "sn1"),
        "already in active block job",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_done_is_refused_and_changes_nothing(trial: Trial, layered: Vm, case: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays   base <- sn1 <- sn2 <- cur (live)."""
    vda = layered.disk("vda")
    before, act, why = REFUSALS[case]
    trial.do(*before)

    with pytest.raises(Impossible):
        act.after(trial.state)
    trial.refused(act, why)

    if before:
        trial.do(Abort("vda"))
    assert vda.chain() == vda.expected_chain()
