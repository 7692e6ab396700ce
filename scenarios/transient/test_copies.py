"""Copies of a VM without a definition: as `virsh undefine`, `blockcopy`, `define` do it (virsh's manual)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.chain import Copy
from harness.acts.images import CreateImage
from harness.oracle.chain import Chain
from harness.oracle.image import Raw
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

_SHALLOW = ("base", "sn1", "sn2", "copy")
COPIES: Mapping[str, tuple[Sequence[Act], Copy, Sequence[str]]] = {
    "copy": ((), Copy("vda", "copy"), ("copy",)),
    "copy, shallow": ((), Copy("vda", "copy", shallow=True), _SHALLOW),
    "rebase": ((), Copy("vda", "copy", by_rebase=True), ("copy",)),
    "rebase, shallow": ((), Copy("vda", "copy", shallow=True, by_rebase=True), _SHALLOW),
    "rebase, to raw": ((), Copy("vda", "copy", format=Raw(), by_rebase=True), ("copy",)),
    "rebase, to an image that is there": (
        (CreateImage("copy"),),
        Copy("vda", "copy", reuse=True, by_rebase=True),
        ("copy",),
    ),
    "rebase, shallow, to an overlay that is there": (
        (CreateImage("copy", backing="sn2"),),
        Copy("vda", "copy", shallow=True, reuse=True, by_rebase=True),
        _SHALLOW,
    ),
    "rebase, bandwidth": ((), Copy("vda", "copy", bandwidth=64 << 20, by_rebase=True), ("copy",)),
}


@pytest.mark.parametrize("case", COPIES)
def test_a_transient_vm_goes_on_in_the_copy_and_is_defined_on_it(trial: Trial, layered: Vm, case: str) -> None:
    """base <- sn1 <- sn2 <- cur (live, no definition)   becomes   what the row says, defined."""
    before, act, left = COPIES[case]
    vda = layered.disk("vda")
    trial.do(*before)

    layered.undefine()
    with vda.begin(act) as job:
        job.wait_ready()
        vda.write("E", (0, 10))
        job.pivot()
    trial.verify("pivoted")
    layered.redefine()

    trial.verify("defined")
    assert vda.chain() == Chain.named(*left)
    assert vda.configured_chain().active == "copy"


def test_a_transient_vm_keeps_its_chain_if_the_copy_is_given_up(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live, no definition)   stays   base <- sn1 <- sn2 <- cur (live), defined."""
    vda = layered.disk("vda")
    before = vda.chain()

    layered.undefine()
    with vda.begin(Copy("vda", "copy", by_rebase=True)) as job:
        job.wait_ready()
        job.abort()
    vda.write("E", (0, 10))
    layered.redefine()

    trial.verify("given up")
    assert vda.chain() == before
