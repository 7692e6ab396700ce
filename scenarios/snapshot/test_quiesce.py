"""Snapshots for which the guest cannot freeze its file systems: refused, and the guest is as it was."""

from __future__ import annotations

import pytest

from harness.acts.guest import EndAgent, Freeze, Thaw, Write
from harness.acts.power import Resume, Suspend
from harness.acts.snapshot import Snapshot
from harness.trial.trial import Trial

_QUIESCED = Snapshot("vda", "late", quiesce=True)


def test_without_an_agent_it_is_refused(trial: Trial) -> None:
    """base <- sn1 (live, no agent)   stays that."""
    trial.create_base()
    vm = trial.define().bring_up()
    vm.grow([("base", "A", (0, 1)), ("sn1", "B", (1,))])
    trial.do(EndAgent())
    trial.refused(_QUIESCED, "(QEMU guest|Guest) agent is not (connected|available|responding)")
    trial.do(Write("vda", "C", (2,)), Snapshot("vda", "late"), Write("vda", "D", (3,)))

    trial.verify("snapshotted without")


def test_of_a_vm_that_is_paused_it_is_refused(trial: Trial) -> None:
    """base <- sn1 (paused)   stays that."""
    trial.create_base()
    vm = trial.define().bring_up()
    vm.grow([("base", "A", (0, 1)), ("sn1", "B", (1,))])
    trial.do(Suspend())
    trial.stage.refused(_QUIESCED, "domain is not running|Guest agent is not responding")
    trial.do(Resume(), Write("vda", "C", (2,)))

    trial.verify("it goes on")


@pytest.mark.cold
def test_a_guest_that_was_frozen_before_stays_frozen(trial: Trial) -> None:
    """base (live, the guest's root, frozen)   stays that, frozen, until it is thawed."""
    trial.create_root_base()
    vm = trial.define(root_on_vda=True).start()
    trial.do(Freeze())
    trial.stage.refused(_QUIESCED, "freeze|frozen")
    trial.do(Thaw(), Snapshot("vda", "late", quiesce=True))
    vm.domain.agent.run("echo thawed >/thawed")
    vm.shut_off()
