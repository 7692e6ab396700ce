"""Two VMs of one daemon, each with a chain of its own."""

from __future__ import annotations

from harness.acts.chain import AwaitReady, Pivot
from harness.oracle.chain import Chain
from harness.trial.trial import Trial


def test_chains_of_two_vms_that_are_merged_at_the_same_time_do_not_touch_each_other(trial: Trial) -> None:
    """base <- sn1 (vm1, live) and root <- top (vm2, live)   become   base and root (both live)."""
    trial.create_base()
    trial.create_base(name="root", vm="vm2")
    one = trial.define().bring_up().grow([("base", "A", (0, 1, 2)), ("sn1", "B", (2, 3))]).disk("vda")
    two = trial.define(vm="vm2").bring_up().grow([("root", "C", (0, 1, 2)), ("top", "D", (2, 3))]).disk("vda")
    trial.verify("four images, two chains")

    with one.active_commit(into="base"), two.active_commit(into="root"):
        trial.do(AwaitReady("vda"), AwaitReady("vda", vm="vm2"))
        trial.verify("both ready")
        one.write("E", (5,))
        two.write("F", (5, 6))
        trial.do(Pivot("vda", vm="vm2"), Pivot("vda"))

    trial.verify("both pivoted")
    assert (one.chain(), two.chain()) == (Chain.named("base"), Chain.named("root"))
