"""Images that are encrypted."""
from __future__ import annotations

import pytest

from harness.acts.backup import AwaitBackup, BeginBackup
from harness.acts.chain import ActiveCommit, AwaitCompleted, AwaitReady, Commit, Copy, Pivot, Pull
from harness.acts.guest import Write
from harness.acts.images import DefineSecret
from harness.acts.snapshot import Snapshot
from harness.oracle.geometry import Geometry
from harness.oracle.image import Qcow2, Raw
from harness.trial.trial import Trial

JOBS = {
  "none": (),
  "active": (ActiveCommit("vda", "base"), AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
  "shallow": (ActiveCommit("vda", "sn1", shallow=True), AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
  "commit": (Commit("vda", "sn1", "base"), AwaitCompleted("vda")),
  "pull": (Pull("vda"), AwaitCompleted("vda")),
  "partial": (Pull("vda", "base"), AwaitCompleted("vda")),
  "copy": (Copy("vda", "copy"), AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
  "copy qcow2": (DefineSecret("blue"), Copy("vda", "copy", format=Qcow2(secret="blue")), AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
  "copy raw": (DefineSecret("blue"),Copy("vda", "copy", format=Raw(secret="blue")), AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
}

@pytest.mark.cold
@pytest.mark.encrypted
@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("over", ["", "red"])
@pytest.mark.parametrize("form", [Qcow2(secret="red"), Raw(secret="red")], ids=lambda v: v.name)
def test_luks(trial: Trial, form, over, job) -> None:
    trial.do(DefineSecret("red"))
    trial.create_base(Geometry(), form=form)
    vm = trial.define().start()
    trial.do(Write("vda", "A", (0, 1, 2, 3, 4)))
    trial.do(Snapshot("vda", "sn1", secret=over))
    trial.do(Write("vda", "B", (1, 5)))
    trial.do(Snapshot("vda", "cur", secret=over))
    trial.do(Write("vda", "C", (2, 6)))
    trial.verify("three")
    trial.do(*JOBS[job])
    trial.verify("after the job")
    vm.shut_off()
    vm.start()
    trial.verify("started again")
