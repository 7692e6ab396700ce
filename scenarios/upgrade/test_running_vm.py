"""libvirtd is replaced by a newer one, or started again, under a running VM and its chain."""

from __future__ import annotations

import pytest

from harness.oracle.chain import Chain
from harness.oracle.documented import T0, T1, as_documented
from harness.stack.daemon import Daemon
from harness.trial.trial import Trial
from harness.trial.upgrade import libvirtd_upgraded
from harness.vm.domain import Domain


@pytest.fixture
def daemon(upgradable: Daemon) -> Daemon:
    return upgradable


def test_a_chain_that_the_old_libvirt_made_is_merged_by_the_new_one(trial: Trial, layered: Domain) -> None:
    """base <- sn1 <- sn2 <- cur (live, by the old)   becomes   base (live, by the new)."""
    disk, guest = layered.disk, layered.guest
    assert as_documented(trial.verify("T0, by the old libvirt")) == T0
    chain, configured = disk.chain(), disk.configured_chain()

    with libvirtd_upgraded(trial):
        guest.write_marker("F", (1, 9, 11))
    trial.verify("T0, by the new libvirt, after a write while no libvirtd ran")
    assert (disk.chain(), disk.configured_chain()) == (chain, configured)
    assert guest.host.check_output("hostname") == "guest"
    with disk.active_commit(into="base") as job:
        job.wait_ready()
        trial.verify("T1")
        guest.write_marker("G", (2, 6))
        job.pivot()
    trial.verify("pivoted")
    guest.write_marker("E", (0, 10))

    trial.verify("T2")
    assert disk.chain() == Chain.of(disk.image("base"))
    assert disk.configured_chain() == Chain.of(disk.image("base"))
    assert guest.same_boot()


def test_a_commit_that_the_old_libvirt_made_ready_is_pivoted_by_the_new_one(trial: Trial, layered: Domain) -> None:
    """base <- sn1 <- sn2 <- cur (live, READY by the old)   becomes   base (live, pivoted by the new)."""
    disk, guest = layered.disk, layered.guest

    with disk.active_commit(into="base") as job:
        job.wait_ready()
        assert as_documented(trial.verify("T1, by the old libvirt")) == T1
        with libvirtd_upgraded(trial):
            guest.write_marker("F", (1, 9, 11))
        job.wait_ready_again()
        assert len(disk.chain()) == 4
        trial.verify_guest("T1, by the new libvirt")
        job.pivot()
    trial.verify("pivoted")
    guest.write_marker("E", (0, 10))

    trial.verify("T2")
    assert disk.chain() == Chain.of(disk.image("base"))
    assert disk.configured_chain() == Chain.of(disk.image("base"))
    assert guest.same_boot()
