"""An active commit held between its READY and its end, while the guest writes on."""

from __future__ import annotations

import pytest

from harness.oracle.chain import Chain
from harness.oracle.documented import T1, as_documented
from harness.trial.trial import Trial
from harness.vm.domain import Domain


@pytest.fixture
def aborting(trial: Trial) -> None:
    trial.expect_in_log(
        "libvirt-tmp-activewrite",
        "after an aborted active commit libvirt removes a bitmap that it makes only where there are checkpoints",
    )


def test_writes_after_ready_are_in_the_base_after_the_pivot(trial: Trial, layered: Domain) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   base (live)."""
    disk, guest = layered.disk, layered.guest

    with disk.active_commit(into="base") as job:
        job.wait_ready()
        assert as_documented(trial.verify("T1")) == T1
        assert len(disk.chain()) == 4
        guest.write_marker("F", (1, 9, 11))
        trial.verify_guest("T1, after a write")
        job.pivot()
    trial.verify("pivoted")
    guest.write_marker("E", (0, 10))

    trial.verify("T2")
    assert disk.chain() == Chain.of(disk.image("base"))


@pytest.mark.usefixtures("aborting")
def test_abort_after_ready_leaves_the_chain_and_makes_the_base_a_copy_of_that_instant(
    trial: Trial, layered: Domain
) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays   base <- sn1 <- sn2 <- cur (live)."""
    disk, guest = layered.disk, layered.guest
    before = disk.chain()

    with disk.active_commit(into="base") as job:
        job.wait_ready()
        assert as_documented(trial.verify("T1")) == T1
        guest.write_marker("F", (1, 9, 11))
        job.abort()
    table = trial.verify("aborted")
    shown = as_documented(table)
    assert shown["base"][1] == shown["guest"][1] == "DFBBBCCCDF-F"
    guest.write_marker("E", (0, 10))

    assert as_documented(trial.verify("after a later write"))["base"] == shown["base"]
    assert disk.chain() == before
    assert disk.configured_chain().active == disk.image("cur")


@pytest.mark.usefixtures("aborting")
def test_a_commit_after_an_aborted_one_folds_everything(trial: Trial, layered: Domain) -> None:
    """base <- sn1 <- sn2 <- cur (live), aborted once   becomes   base (live)."""
    disk, guest = layered.disk, layered.guest
    with disk.active_commit(into="base") as job:
        job.wait_ready()
        job.abort()
    guest.write_marker("F", (1, 9, 11))

    with disk.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()

    trial.verify("pivoted")
    assert disk.chain() == Chain.of(disk.image("base"))
