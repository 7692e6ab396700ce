"""Chains on which libvirt starts no VM: too long ones, and those of which a header does not say how to read them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from harness.acts.images import CreateImage, Rebase
from harness.acts.power import Start
from harness.oracle.chain import Chain
from harness.trial.trial import Trial

_LONGEST = 200
_TOO_LONG = r"backing chains more than 200 layers deep are not supported|is self-referential or too deeply nested"
_NO_FORMAT = "format of backing image '/export/images/sn1.qcow2' of image '/export/images/sn2.qcow2' was not specified"
_FORGET = "printf '\\\\000\\\\000\\\\000\\\\000' | dd of=/export/images/sn2.qcow2 bs=1 seek=112 conv=notrunc"


@pytest.mark.parametrize("overlays", [3, pytest.param(_LONGEST, marks=pytest.mark.full)])
def test_a_chain_of_more_than_200_images_is_refused(trial: Trial, overlays: int) -> None:
    """base <- n1 <- ... <- nN (off)   is started; of more than 200 images it is refused."""
    names = ["base", *(f"n{number}" for number in range(1, overlays + 1))]
    trial.create_base()
    for below, name in pairwise(names):
        trial.do(CreateImage(name, backing=below), Rebase(name, below))
    vm = trial.define()
    if overlays >= _LONGEST:
        trial.stage.refused(Start(), _TOO_LONG)
        trial.do(Rebase(names[-1], names[99]))  # with 128 the answers of QEMU's monitor are too deep for libvirt 9.0

    vm.bring_up().disk().write("A", (1,))
    trial.verify("started")


def test_a_backing_file_without_a_format_is_refused(trial: Trial) -> None:
    """base <- sn1 <- sn2, whose header does not say that sn1 is qcow2   is refused; with its format it starts."""
    trial.create_base()
    trial.do(CreateImage("sn1", backing="base"), Rebase("sn1", "base"))
    trial.do(CreateImage("sn2", backing="sn1"), Rebase("sn2", "sn1"))
    vm = trial.define()
    trial.type(f'busybox sh -c "{_FORGET}"').check()

    trial.stage.refused(Start(), _NO_FORMAT)

    trial.do(Rebase("sn2", "sn1"))
    vm.bring_up()
    vm.disk().write("A", (1,))
    trial.verify("started")
    assert vm.disk().chain() == Chain.named("base", "sn1", "sn2")
