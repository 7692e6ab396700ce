"""A flush that is swallowed on its way to the disk: no image shows it afterwards, and the power loss does."""

from __future__ import annotations

import re

from harness.detect.lost_flush import swallowed, swallowing
from harness.oracle.documented import LAYERS
from harness.trial.ground import Platform
from harness.verdict.power_loss import explore_power_loss


def test_a_flush_of_the_base_that_is_swallowed_before_the_pivot_is_found(platform: Platform) -> None:
    with swallowing(platform) as daemon, platform.trial(daemon, "a swallowed flush") as trial:
        trial.create_base()
        vm = trial.define().bring_up().grow(LAYERS)
        with swallowed(daemon), vm.disk("vda").active_commit(into="base") as job:
            job.wait_ready()
            job.pivot()
        trial.verify("pivoted")
        vm.shut_off()

        found = explore_power_loss(trial)

    lost = [finding for finding in found.findings if re.search(r"parts are not what was flushed", finding.seen)]
    (pivoted,) = (finding for finding in lost if "after: the job of vda pivots" in finding.claim)
    assert pivoted.check == "power loss"
    assert "the chain of base.qcow2, which the persistent definition names" in pivoted.claim
    assert re.search(r"cell \d+, bytes \d+ to \d+: .*, promised was [BCD]\n", pivoted.difference)
    assert re.search(r"qemu-img convert reads \d+ parts that are not what was flushed", pivoted.difference)
