"""A copy to an image that an NBD server has: the guest goes on there, and all is done on it that is on a file."""

from __future__ import annotations

import pytest

from harness.acts.chain import Copy
from harness.acts.images import CreateImage, served
from harness.oracle.chain import Chain
from harness.oracle.image import Raw
from harness.trial.nouns import Disk, Job, Vm
from harness.trial.trial import Trial


def test_a_copy_to_a_server_holds_the_disk_of_the_instant_when_it_is_aborted(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live), copied to an NBD server   stays   base <- sn1 <- sn2 <- cur (live)."""
    vda = layered.disk("vda")
    with _copied(trial, vda) as job:
        job.wait_ready()
        vda.write("E", (0, 10))
        job.abort()
    vda.write("F", (5,))

    trial.verify("aborted")
    assert vda.chain() == Chain.named("base", "sn1", "sn2", "cur")


@pytest.mark.parametrize("ends", ["pulled", "committed"])
def test_a_guest_that_lives_on_a_server_keeps_every_byte(trial: Trial, layered: Vm, ends: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   copy (NBD, live), copy <- late, then copy or late (live)."""
    vda = layered.disk("vda")
    with _copied(trial, vda) as job:
        job.wait_ready()
        vda.write("E", (0, 10))
        job.pivot()
    vda.write("F", (5,))
    vda.zero((6,))
    trial.verify("pivoted")
    vda.snapshot("late")
    vda.write("G", (1,), ranges=((3 * 65536 - 4096, 8192),))
    trial.verify("on an overlay")
    with vda.pull() if ends == "pulled" else vda.active_commit("copy") as job:
        if ends == "pulled":
            job.wait_completed()
        else:
            job.wait_ready()
            job.pivot()

    trial.verify(ends)
    layered.shut_off()
    layered.bring_up()
    trial.verify("started again")


def _copied(trial: Trial, vda: Disk) -> Job:
    trial.do(CreateImage("copy", "vda", format=Raw(), store=served("copy")))
    return vda.begin(Copy("vda", "copy", reuse=True))
