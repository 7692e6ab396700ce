"""A disk that grows while its guest runs: every image has the size that it should, and so has the guest's device."""

from __future__ import annotations

import pytest

from harness.acts.chain import Resize
from harness.detect.lies import pretend
from harness.errors import CheckFailed
from harness.oracle.chain import Chain
from harness.oracle.driver import Driver
from harness.trial.nouns import Disk, Vm
from harness.trial.trial import Trial

MIB = 1 << 20


def test_a_disk_that_grew_on_its_overlay_keeps_its_size_when_it_is_merged(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live, larger than what it covers)   becomes   base (live, as large)."""
    vda = layered.disk("vda")
    vda.resize(4 * MIB)
    trial.verify("cur is larger than sn2")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()
    vda.write("E", (0, 11))

    trial.verify("base is as large")
    assert vda.content.size == 4 * MIB
    assert vda.chain() == Chain.named("base")


def test_a_disk_with_a_thread_of_its_own_grows(trial: Trial) -> None:
    """[base] (live, with an iothread)   becomes   base, larger."""
    trial.create_base()
    vda = trial.define(driver=Driver(iothread=True)).bring_up().disk("vda")
    vda.write("A", (0, 11))
    vda.resize(4 * MIB)
    vda.write("B", (5,))

    trial.verify("grown")


@pytest.mark.sabotaged
def test_a_resize_that_nobody_meant_is_found(trial: Trial, vda: Disk) -> None:
    call = Resize("vda", 4 * MIB).call(trial.state)
    vda.vm.domain.call("the resize", lambda handle: handle.blockResize("vda", int(str(call.args["size"])), 1))  # BYTES

    with pytest.raises(CheckFailed, match="base should be a disk of 786432 bytes, is one of 4194304"):
        trial.verify("resized")


@pytest.mark.sabotaged
@pytest.mark.usefixtures("vm")
def test_a_resize_that_was_not_done_is_found(trial: Trial) -> None:
    pretend(trial, Resize("vda", 4 * MIB))

    with pytest.raises(CheckFailed, match="guest should be a disk of 4194304 bytes, is one of 786432"):
        trial.verify("resized")
