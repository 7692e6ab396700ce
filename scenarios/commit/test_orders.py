"""Commits one after the other: in every order, layer by layer, given up and begun again, with nothing to copy."""

from __future__ import annotations

from itertools import permutations

import pytest

from harness.acts.chain import ActiveCommit
from harness.acts.power import Resume, Suspend
from harness.oracle.chain import Chain
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

BETWEEN = ("sn1", "sn2", "sn3")


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(order, id=" ".join(order), marks=[pytest.mark.full] * (number > 1))
        for number, order in enumerate(permutations(BETWEEN))
    ],
)
def test_layers_are_committed_in_any_order(trial: Trial, layered: Vm, order: tuple[str, ...]) -> None:
    """base <- sn1 <- sn2 <- cur <- sn3 <- top (live)   becomes   base <- cur <- top (live), by way of the row."""
    vda = layered.disk("vda")
    vda.snapshot("sn3")
    vda.write("E", (4, 6))
    vda.snapshot("top")
    vda.write("F", (5, 8))

    for layer in order:
        below = vda.content.layer(layer).backing
        assert below is not None
        with vda.commit(layer, below) as job:
            job.wait_completed()
        trial.verify(f"{layer} is committed")

    assert vda.chain() == Chain.named("base", "cur", "top")


def test_shallow_commits_fold_a_chain_layer_by_layer(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   base <- sn1 <- sn2, base <- sn1, and base (live)."""
    vda = layered.disk("vda")

    while len(vda.content.chain()) > 1:
        below = vda.content.chain()[-2]
        with vda.begin(ActiveCommit("vda", below, shallow=True)) as job:
            job.wait_ready()
            vda.write("E", (0, 10))
            job.pivot()
        trial.verify(f"{below} is active")

    assert vda.chain() == Chain.named("base")


def test_a_base_that_follows_its_overlay_is_what_each_commit_makes_it(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays   as it is (`--keep-overlay`), again and again."""
    vda = layered.disk("vda")

    for number in range(3):
        with vda.active_commit(into="base") as job:
            job.wait_ready()
            job.abort()
        trial.verify("kept")
        vda.write(f"E{number}", (number, 11 - number))

    assert vda.chain() == Chain.named("base", "sn1", "sn2", "cur")


def test_a_commit_that_is_given_up_while_it_copies_can_be_done_again(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays, and then becomes   base (live)."""
    vda = layered.disk("vda")

    with vda.active_commit(into="base", bandwidth=1) as job:
        job.abort()
    vda.write("E", (0, 10))
    trial.verify_guest("given up")
    with vda.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()

    trial.verify("pivoted")
    assert vda.chain() == Chain.named("base")


@pytest.mark.parametrize("written", [False, True], ids=["nothing written", "a base written"])
def test_there_may_be_nothing_to_copy(trial: Trial, vm: Vm, written: bool) -> None:
    """base <- sn1 <- sn2 (live, both empty)   becomes   base (live)."""
    vda = vm.disk("vda")
    if written:
        vda.write("A", (0, 1, 2))
    vda.snapshot("sn1")
    vda.snapshot("sn2")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()
    vda.write("B", (2, 3))

    trial.verify("pivoted")
    assert vda.chain() == Chain.named("base")


def test_a_paused_vm_is_committed_and_pivoted_and_stays_paused(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (paused)   becomes   base (paused, then live)."""
    vda = layered.disk("vda")

    trial.do(Suspend())
    with vda.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()
    assert vda.chain() == Chain.named("base")
    trial.do(Resume())
    vda.write("E", (0, 10))

    trial.verify("resumed")
    assert vda.configured_chain() == Chain.named("base")
