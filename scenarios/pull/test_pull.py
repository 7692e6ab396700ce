"""Pulls: what lower layers hold is copied up into the active one, and they are let go of."""

from __future__ import annotations

import pytest

from harness.oracle.chain import Chain
from harness.trial.trial import Trial
from harness.vm.domain import Domain


def test_a_full_pull_makes_the_active_layer_stand_alone(trial: Trial, layered: Domain) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   cur (live)."""
    disk, guest = layered.disk, layered.guest

    with disk.pull() as job:
        job.wait_completed()
    trial.verify("pulled")
    guest.write_marker("E", (0, 10))

    trial.verify("after a later write")
    assert disk.chain() == Chain.of(disk.image("cur"))
    assert disk.configured_chain() == Chain.of(disk.image("cur"))
    assert guest.same_boot()


def test_a_vm_starts_again_from_its_pulled_layer_without_the_others(trial: Trial, layered: Domain) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   cur (shut off, the other files removed, then live again)."""
    with layered.disk.pull() as job:
        job.wait_completed()
    layered.shut_off()
    trial.remove("base", "sn1", "sn2")

    layered.start()

    trial.verify("started again")
    assert layered.disk.chain() == Chain.of(layered.disk.image("cur"))


@pytest.mark.parametrize("base", ["base", "sn1"])
def test_a_partial_pull_drops_the_layers_between(trial: Trial, layered: Domain, base: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   the same without what lies between `base` and cur."""
    disk = layered.disk
    kept = disk.chain().up_to(disk.image(base)).with_overlay(disk.image("cur"))

    with disk.pull(base) as job:
        job.wait_completed()

    trial.verify("pulled")
    assert disk.chain() == kept


def test_a_pull_of_a_layer_that_stands_alone_changes_nothing(trial: Trial, domain: Domain) -> None:
    """base (live)   stays   base (live)."""
    domain.guest.write_marker("A", (0, 5))

    with domain.disk.pull() as job:
        job.wait_completed()

    trial.verify("pulled")
    assert domain.disk.chain() == Chain.of(domain.disk.image("base"))
