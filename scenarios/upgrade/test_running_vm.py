"""libvirtd is replaced by a newer one, or started again, under a running VM and its chain."""

from __future__ import annotations

import pytest

from harness.acts.faults import KillDaemon, StartDaemon, StopDaemon
from harness.oracle.chain import Chain
from harness.oracle.documented import T0, T1, as_documented
from harness.stack.daemon import Daemon
from harness.trial.nouns import Vm
from harness.trial.trial import Trial


@pytest.fixture
def daemon(upgradable: Daemon) -> Daemon:
    return upgradable


def test_a_chain_that_the_old_libvirt_made_is_merged_by_the_new_one(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live, by the old)   becomes   base (live, by the new)."""
    vda = layered.disk("vda")
    assert as_documented(trial.verify("T0, by the old libvirt")) == T0
    chain, configured = vda.chain(), vda.configured_chain()

    trial.do(StopDaemon())
    vda.write("F", (1, 9, 11))
    trial.do(StartDaemon(upgraded=True))
    trial.verify("T0, by the new libvirt, after a write while no libvirtd ran")
    assert (vda.chain(), vda.configured_chain()) == (chain, configured)
    assert layered.guest.host.check_output("hostname") == "guest"
    with vda.active_commit(into="base") as job:
        job.wait_ready()
        trial.verify("T1")
        vda.write("G", (2, 6))
        job.pivot()
    trial.verify("pivoted")
    vda.write("E", (0, 10))

    trial.verify("T2")
    assert vda.chain() == vda.configured_chain() == Chain.named("base")
    assert layered.guest.same_boot()


def test_a_commit_that_the_old_libvirt_made_ready_is_pivoted_by_the_new_one(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live, READY by the old)   becomes   base (live, pivoted by the new)."""
    vda = layered.disk("vda")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        assert as_documented(trial.verify("T1, by the old libvirt")) == T1
        trial.do(StopDaemon())
        vda.write("F", (1, 9, 11))
        trial.do(StartDaemon(upgraded=True))
        job.wait_ready()  # by state: no event tells it twice
        assert len(vda.chain()) == 4
        trial.verify_guest("T1, by the new libvirt")
        job.pivot()
    trial.verify("pivoted")
    vda.write("E", (0, 10))

    trial.verify("T2")
    assert vda.chain() == vda.configured_chain() == Chain.named("base")
    assert layered.guest.same_boot()


def test_a_commit_that_is_ready_when_the_daemon_dies_is_pivoted_by_the_next(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live, READY, no daemon)   becomes   base (live)."""
    vda = layered.disk("vda")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        trial.do(KillDaemon())
        vda.write("F", (1, 9, 11))  # QEMU and its guest go on
        trial.do(StartDaemon())
        job.wait_ready()  # by state: no event tells it twice
        job.pivot()

    trial.verify("pivoted")  # same boot, same QEMU, second daemon: the state knows
    assert vda.chain() == Chain.named("base")
