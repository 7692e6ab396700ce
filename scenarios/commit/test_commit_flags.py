"""Commits by every flag: a row is how the commit is begun, and the chain that it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.chain import ActiveCommit, Commit
from harness.oracle.chain import Chain
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

ACTIVE: Mapping[str, tuple[ActiveCommit, Sequence[str]]] = {
    "to the layer below": (ActiveCommit("vda", "sn2"), ("base", "sn1", "sn2")),
    "shallow": (ActiveCommit("vda", "sn2", shallow=True), ("base", "sn1", "sn2")),
    "to the middle": (ActiveCommit("vda", "sn1"), ("base", "sn1")),
    "delete": (ActiveCommit("vda", "base", delete=True), ("base",)),
    "delete, to the middle": (ActiveCommit("vda", "sn1", delete=True), ("base", "sn1")),
    "delete, shallow": (ActiveCommit("vda", "sn2", shallow=True, delete=True), ("base", "sn1", "sn2")),
    "bandwidth in bytes": (ActiveCommit("vda", "base", 64 << 20, in_bytes=True), ("base",)),
    "bandwidth": (ActiveCommit("vda", "base", 64), ("base",)),
}

INTERMEDIATE: Mapping[str, tuple[Commit, Sequence[str]]] = {
    "shallow": (Commit("vda", "sn2", "sn1", shallow=True), ("base", "sn1", "cur")),
    "delete": (Commit("vda", "sn2", "sn1", delete=True), ("base", "sn1", "cur")),
    "delete two": (Commit("vda", "sn2", "base", delete=True), ("base", "cur")),
    "delete, shallow": (Commit("vda", "sn1", "base", shallow=True, delete=True), ("base", "sn2", "cur")),
    "bandwidth in bytes": (Commit("vda", "sn2", "base", 64 << 20, in_bytes=True), ("base", "cur")),
}


@pytest.mark.parametrize(
    "case", [pytest.param(each, marks=[pytest.mark.full] * (number > 2)) for number, each in enumerate(ACTIVE)]
)
def test_an_active_commit_leaves_what_its_flags_say(trial: Trial, layered: Vm, case: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   what the row says."""
    act, left = ACTIVE[case]
    vda = layered.disk("vda")

    with vda.begin(act) as job:
        job.wait_ready()
        trial.verify("ready")
        vda.write("E", (0, 10))
        job.pivot()

    trial.verify("pivoted")
    assert vda.chain() == Chain.named(*left)
    assert vda.configured_chain() == Chain.named(*left)


@pytest.mark.parametrize(
    "case", [pytest.param(each, marks=[pytest.mark.full] * (number > 2)) for number, each in enumerate(INTERMEDIATE)]
)
def test_an_intermediate_commit_leaves_what_its_flags_say(trial: Trial, layered: Vm, case: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   what the row says."""
    act, left = INTERMEDIATE[case]
    vda = layered.disk("vda")

    with vda.begin(act) as job:
        job.wait_completed()

    trial.verify("committed")
    assert vda.chain() == Chain.named(*left)
    assert vda.configured_chain() == Chain.named(*left)


def test_a_commit_that_is_given_up_deletes_nothing(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays   base <- sn1 <- sn2 <- cur (live), and all the files are there."""
    vda = layered.disk("vda")
    before = vda.chain()

    with vda.begin(ActiveCommit("vda", "base", delete=True)) as job:
        job.wait_ready()
        job.abort()
    vda.write("E", (0, 10))

    trial.verify("given up")
    assert vda.chain() == before
