"""Zeros that the guest writes while a copy or a commit is in sync, over what a layer below the target holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.chain import ActiveCommit, Copy
from harness.acts.images import CreateImage
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

JOBS: Mapping[str, tuple[Sequence[Act], Act]] = {
    "shallow copy": ((), Copy("vda", "copy", shallow=True)),
    "shallow copy to an overlay that is there": (
        (CreateImage("copy", backing="sn2"),),
        Copy("vda", "copy", shallow=True, reuse=True),
    ),
    "full copy": ((), Copy("vda", "copy")),
    "full copy to an image that is there": ((CreateImage("copy"),), Copy("vda", "copy", reuse=True)),
    "commit into a layer": ((), ActiveCommit("vda", "sn1")),
    "commit into the base": ((), ActiveCommit("vda", "base")),
}


@pytest.mark.parametrize(
    "case", [pytest.param(each, marks=[pytest.mark.full] * (number > 1)) for number, each in enumerate(JOBS)]
)
def test_zeros_that_are_written_while_a_mirror_is_in_sync_are_zeros_after_the_pivot(
    trial: Trial, layered: Vm, case: str
) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   what the job makes of it, with zeros over A, B, C and D."""
    before, act = JOBS[case]
    trial.do(*before)
    vda = layered.disk("vda")

    with vda.begin(act) as job:
        job.wait_ready()
        vda.zero((0, 3, 5, 8))
        vda.zero(ranges=((2 * vda.content.geometry.cell_size, 4096),))
        job.pivot()

    trial.verify("pivoted")
    layered.shut_off()
    layered.start()
    trial.verify("started again")
