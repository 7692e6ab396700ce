"""Pulls: what lower layers hold is copied up into the active one, and they are let go of."""

from __future__ import annotations

import pytest

from harness.oracle.chain import Chain
from harness.trial.nouns import Disk, Vm
from harness.trial.trial import Trial


def test_a_full_pull_makes_the_active_layer_stand_alone(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   cur (live)."""
    vda = layered.disk("vda")

    with vda.pull() as job:
        job.wait_completed()
    trial.verify("pulled")
    vda.write("E", (0, 10))

    trial.verify("after a later write")
    assert vda.chain() == Chain.named("cur")
    assert vda.configured_chain() == Chain.named("cur")
    assert layered.guest.same_boot()


def test_a_vm_starts_again_from_its_pulled_layer_without_the_others(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   cur (shut off, the other files removed, then live again)."""
    vda = layered.disk("vda")
    with vda.pull() as job:
        job.wait_completed()
    layered.shut_off()
    trial.remove("base", "sn1", "sn2")

    layered.start()

    trial.verify("started again")
    assert vda.chain() == Chain.named("cur")


@pytest.mark.parametrize("base", ["base", "sn1"])
def test_a_partial_pull_drops_the_layers_between(trial: Trial, layered: Vm, base: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   the same without what lies between `base` and cur."""
    vda = layered.disk("vda")
    kept = vda.chain().up_to(base).with_overlay("cur")

    with vda.pull(base) as job:
        job.wait_completed()

    trial.verify("pulled")
    assert vda.chain() == kept


def test_a_pull_of_a_layer_that_stands_alone_changes_nothing(trial: Trial, vda: Disk) -> None:
    """base (live)   stays   base (live)."""
    vda.write("A", (0, 5))

    with vda.pull() as job:
        job.wait_completed()

    trial.verify("pulled")
    assert vda.chain() == Chain.named("base")
