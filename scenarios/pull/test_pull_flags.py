"""Pulls by every flag: a row is how the pull is begun, and the chain that it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.chain import Pull
from harness.oracle.chain import Chain
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

PULLS: Mapping[str, tuple[Pull, Sequence[str]]] = {
    "virDomainBlockPull": (Pull("vda", plain=True), ("cur",)),
    "virDomainBlockPull, bandwidth in bytes": (Pull("vda", None, 64 << 20, in_bytes=True, plain=True), ("cur",)),
    "bandwidth": (Pull("vda", "sn1", 64), ("base", "sn1", "cur")),
    "bandwidth in bytes": (Pull("vda", "base", 64 << 20, in_bytes=True), ("base", "cur")),
    "onto the layer below": (Pull("vda", "sn2"), ("base", "sn1", "sn2", "cur")),
}


@pytest.mark.parametrize("case", PULLS)
def test_a_pull_leaves_what_its_flags_say(trial: Trial, layered: Vm, case: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   what the row says."""
    act, left = PULLS[case]
    vda = layered.disk("vda")

    with vda.begin(act) as job:
        job.wait_completed()
    vda.write("E", (0, 10))

    trial.verify("pulled")
    assert vda.chain() == Chain.named(*left)
    assert vda.configured_chain() == Chain.named(*left)
