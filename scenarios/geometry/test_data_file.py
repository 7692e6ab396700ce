"""Images whose data are in a file of their own: what is above is folded into it, and what was there is copied up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.chain import ActiveCommit, AwaitCompleted, AwaitReady, Commit, Copy, Pivot, Pull
from harness.acts.guest import Discard, Write, Zero
from harness.oracle.image import Qcow2
from harness.oracle.state import DIRECTORY
from harness.trial.trial import Trial

JOBS: Mapping[str, Sequence[Act]] = {
    "active commit": (ActiveCommit("vda", "base"), AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
    "commit": (Commit("vda", "sn1", "base"), AwaitCompleted("vda")),
    "pull": (Pull("vda"), AwaitCompleted("vda")),
    "copy": (Copy("vda", "copy"), AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
}
_FEW = ("active commit",)


@pytest.mark.cold
@pytest.mark.parametrize("job", [pytest.param(job, marks=[] if job in _FEW else [pytest.mark.full]) for job in JOBS])
def test_what_is_above_a_base_with_a_data_file_keeps_every_byte(trial: Trial, job: str) -> None:
    """base (its data in a file of their own) <- sn1 <- cur (live)   becomes   what the job makes of it."""
    trial.create_base(form=Qcow2(data_file=str(DIRECTORY / "base.data")))
    vm = trial.define().start()
    trial.do(
        Write("vda", "A", (0, 1, 2, 3, 4)), Zero("vda", (3,)), Write("vda", "A2", ranges=((7 * 65536 + 4096, 8192),))
    )
    trial.verify("in the file")
    vm.grow([("sn1", "B", (1, 5)), ("cur", "C", (2, 6))])
    trial.do(Discard("vda", (4,)), *JOBS[job], Write("vda", "E", (0, 11)))
    trial.verify("after the job")
    vm.shut_off()
    vm.start()

    trial.verify("started again")
