"""Two disks of one VM, each with a chain of its own."""

from __future__ import annotations

from harness.acts.chain import AwaitReady
from harness.oracle.chain import Chain
from harness.oracle.geometry import Geometry
from harness.trial.trial import Trial


def test_two_disks_are_merged_at_the_same_time_each_into_its_own_base(trial: Trial) -> None:
    """base <- sn1 (vda, live) and data <- top (vdb, live)   become   base and data (both live)."""
    trial.create_base()
    trial.create_base(Geometry(cells=20), disk="vdb", name="data")
    vm = trial.define().bring_up()
    vda, vdb = vm.disk("vda"), vm.disk("vdb")
    vda.write("A", (0, 1, 2))
    vdb.write("B", (0, 1, 19))
    vda.snapshot("sn1")
    vdb.snapshot("top")
    vda.write("C", (2, 3))
    vdb.write("D", (1, 18))
    trial.verify("four images, two chains")

    with vdb.active_commit(into="data") as second, vda.active_commit(into="base") as first:
        trial.do(AwaitReady("vda"), AwaitReady("vdb"))
        trial.verify("both ready")
        vda.write("E", (5,))
        vdb.write("F", (5, 19))
        first.pivot()
        second.pivot()
    vdb.write("G", (7,))

    trial.verify("both pivoted")
    assert (vda.chain(), vdb.chain()) == (Chain.named("base"), Chain.named("data"))
