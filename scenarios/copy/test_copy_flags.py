"""Copies by every flag: a row is how the copy is begun, and the chain that it leaves if it is pivoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.chain import Copy
from harness.acts.images import CreateImage
from harness.oracle.chain import Chain
from harness.oracle.image import Qcow2, Raw
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

_SHALLOW = ("base", "sn1", "sn2", "copy")
COPIES: Mapping[str, tuple[Sequence[Act], Copy, Sequence[str]]] = {
    "to raw": ((), Copy("vda", "copy", format=Raw()), ("copy",)),
    "to an image that is there": ((CreateImage("copy"),), Copy("vda", "copy", reuse=True), ("copy",)),
    "to an image of larger clusters": (
        (CreateImage("copy", format=Qcow2(1 << 20)),),
        Copy("vda", "copy", reuse=True),
        ("copy",),
    ),
    "to a raw image that is there": ((CreateImage("copy", format=Raw()),), Copy("vda", "copy", reuse=True), ("copy",)),
    "shallow, to an overlay that is there": (
        (CreateImage("copy", backing="sn2"),),
        Copy("vda", "copy", shallow=True, reuse=True),
        _SHALLOW,
    ),
    "granularity": ((), Copy("vda", "copy", granularity=4096), ("copy",)),
    "buffer": ((), Copy("vda", "copy", buffer=1 << 20), ("copy",)),
    "bandwidth": ((), Copy("vda", "copy", bandwidth=64 << 20), ("copy",)),
}
SYNCHRONOUS: Mapping[str, tuple[Sequence[Act], Copy, Sequence[str]]] = {
    "full": ((), Copy("vda", "copy", synchronous=True), ("copy",)),
    "shallow": ((), Copy("vda", "copy", shallow=True, synchronous=True), _SHALLOW),
}


@pytest.mark.parametrize("case", COPIES)
def test_a_copy_is_what_its_flags_say(trial: Trial, layered: Vm, case: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   what the row says."""
    _copied(trial, layered, *COPIES[case])


@pytest.mark.needs("synchronous-writes")
@pytest.mark.parametrize("case", SYNCHRONOUS)
def test_a_copy_with_synchronous_writes_holds_what_the_guest_sees(trial: Trial, layered: Vm, case: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   copy (live), or base <- sn1 <- sn2 <- copy (live)."""
    _copied(trial, layered, *SYNCHRONOUS[case])


def _copied(trial: Trial, layered: Vm, before: Sequence[Act], act: Copy, left: Sequence[str]) -> None:
    trial.do(*before)
    vda = layered.disk("vda")

    with vda.begin(act) as job:
        job.wait_ready()
        trial.verify("ready")
        vda.write("E", (0, 10))
        vda.zero((5,))
        job.pivot()

    trial.verify("pivoted")
    assert vda.chain() == Chain.named(*left)
