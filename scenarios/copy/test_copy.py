"""Copies: the disk goes on in a new image, all of it or its active layer alone."""

from __future__ import annotations

import pytest

from harness.acts.chain import Copy
from harness.acts.images import CreateImage
from harness.oracle.chain import Chain
from harness.oracle.image import Raw
from harness.trial.nouns import Vm
from harness.trial.trial import Trial


@pytest.mark.parametrize("shallow", [False, True], ids=["full", "shallow"])
def test_a_copy_that_is_pivoted_holds_what_the_guest_sees(trial: Trial, layered: Vm, shallow: bool) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   copy (live), or base <- sn1 <- sn2 <- copy (live)."""
    vda = layered.disk("vda")

    with vda.copy("copy", shallow=shallow) as job:
        job.wait_ready()
        trial.verify("ready")
        vda.write("E", (0, 10))
        job.pivot()

    trial.verify("pivoted")
    assert vda.chain() == Chain.named(*(("base", "sn1", "sn2", "copy") if shallow else ("copy",)))


def test_a_shallow_copy_onto_what_lies_lower_is_given_up(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays; [sn2] <- over, which was there before, holds what cur did."""
    vda = layered.disk("vda")
    before = vda.chain()
    trial.do(CreateImage("over", backing="sn2"))

    with vda.begin(Copy("vda", "over", shallow=True, reuse=True)) as job:
        job.wait_ready()
        vda.write("E", (0, 10))
        job.abort()
    vda.write("F", (3,))

    trial.verify("given up")
    assert vda.chain() == before


def test_a_copy_that_is_given_up_is_one_of_that_instant(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays   base <- sn1 <- sn2 <- cur (live), and copy holds what it showed."""
    vda = layered.disk("vda")
    before = vda.chain()

    with vda.copy("copy") as job:
        job.wait_ready()
        vda.write("E", (0, 10))
        job.abort()
    vda.write("F", (3,))

    trial.verify("given up")
    assert vda.chain() == before


def test_a_raw_disk_is_copied_to_another_raw_image_and_back(trial: Trial) -> None:
    """base.raw (live)   becomes   one.raw (live), and then   two.raw (live)."""
    trial.create_base(form=Raw())
    vda = trial.define().bring_up().disk("vda")
    vda.write("A", (0, 1, 2))
    for name, label in (("one", "B"), ("two", "C")):
        with vda.copy(name) as job:
            job.wait_ready()
            vda.write(label, (2, 7))
            job.pivot()
        trial.verify(f"on {name}")
    assert vda.chain() == Chain.named("two")
