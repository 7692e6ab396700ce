"""Commits of layers below the active one."""

from __future__ import annotations

import pytest

from harness.oracle.chain import Chain
from harness.trial.nouns import Vm
from harness.trial.trial import Trial


@pytest.mark.parametrize(("top", "base"), [("sn1", "base"), ("sn2", "sn1"), ("sn2", "base")])
def test_an_intermediate_commit_drops_its_layers_and_nothing_that_the_guest_sees(
    trial: Trial, layered: Vm, top: str, base: str
) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   the same without what lies above `base` up to `top`."""
    vda = layered.disk("vda")

    with vda.commit(top=top, base=base) as job:
        job.wait_completed()

    trial.verify("committed")
    remaining = {"sn1": ("base", "sn2", "cur"), "sn2": ("base", "sn1", "cur") if base == "sn1" else ("base", "cur")}
    assert vda.chain() == Chain.named(*remaining[top])
