"""What the guest does to a disk besides writing whole clusters: parts of them, zeros and discards, through a merge."""

from __future__ import annotations

from harness.oracle.chain import Chain
from harness.trial.nouns import Disk, Vm
from harness.trial.trial import Trial

CELL, PART = 65536, 4096


def test_parts_of_clusters_zeros_and_discards_are_kept_by_an_active_commit(trial: Trial, vda: Disk) -> None:
    """base <- sn1 <- sn2 (live), its clusters copied on write, zeroed and discarded   becomes   base (live)."""
    vda.write("A", range(12))
    vda.snapshot("sn1")
    vda.write("B", ranges=[(1 * CELL + 3 * PART, PART), (2 * CELL - PART, 2 * PART), (5 * CELL, 9 * PART)])
    vda.zero(cells=[6], ranges=[(7 * CELL + PART, 2 * PART)])
    vda.snapshot("sn2")
    vda.write("C", ranges=[(1 * CELL + 4 * PART, PART), (6 * CELL + 15 * PART, 2 * PART)])
    vda.discard(cells=[8, 9])
    vda.write("D", ranges=[(9 * CELL + 5 * PART, PART)])
    trial.verify("layered")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        trial.verify("ready")
        job.pivot()
    vda.zero(cells=[0], ranges=[(5 * CELL + PART, PART)])
    vda.discard(cells=[10])

    trial.verify("pivoted")
    assert vda.chain() == Chain.named("base")


def test_writes_and_zeros_while_the_mirror_is_on_reach_the_base(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live), ready, written to   becomes   base (live)."""
    vda = layered.disk("vda")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        vda.write("F", ranges=[(2 * CELL + 7 * PART, 3 * PART), (11 * CELL, PART)])
        vda.zero(cells=[4], ranges=[(3 * CELL - PART, 2 * PART)])
        trial.verify_guest("ready, after small writes")
        job.pivot()

    trial.verify("pivoted")
    assert vda.chain() == Chain.named("base")
