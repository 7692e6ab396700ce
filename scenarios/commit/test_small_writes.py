"""What the guest does to a disk besides writing whole clusters: parts of them, zeros and discards, through a merge."""

from __future__ import annotations

from harness.oracle.chain import Chain
from harness.trial.trial import Trial
from harness.vm.domain import Domain

CELL, PART = 65536, 4096


def test_parts_of_clusters_zeros_and_discards_are_kept_by_an_active_commit(trial: Trial, domain: Domain) -> None:
    """base <- sn1 <- sn2 (live), its clusters copied on write, zeroed and discarded   becomes   base (live)."""
    disk, guest = domain.disk, domain.guest
    guest.write_marker("A", range(12))
    disk.snapshot("sn1")
    guest.write_marker("B", ranges=[(1 * CELL + 3 * PART, PART), (2 * CELL - PART, 2 * PART), (5 * CELL, 9 * PART)])
    guest.zero(cells=[6], ranges=[(7 * CELL + PART, 2 * PART)])
    disk.snapshot("sn2")
    guest.write_marker("C", ranges=[(1 * CELL + 4 * PART, PART), (6 * CELL + 15 * PART, 2 * PART)])
    guest.discard(cells=[8, 9])
    guest.write_marker("D", ranges=[(9 * CELL + 5 * PART, PART)])
    trial.verify("layered")

    with disk.active_commit(into="base") as job:
        job.wait_ready()
        trial.verify("ready")
        job.pivot()
    guest.zero(cells=[0], ranges=[(5 * CELL + PART, PART)])
    guest.discard(cells=[10])

    trial.verify("pivoted")
    assert disk.chain() == Chain.of(disk.image("base"))


def test_writes_and_zeros_while_the_mirror_is_on_reach_the_base(trial: Trial, layered: Domain) -> None:
    """base <- sn1 <- sn2 <- cur (live), ready, written to   becomes   base (live)."""
    disk, guest = layered.disk, layered.guest

    with disk.active_commit(into="base") as job:
        job.wait_ready()
        guest.write_marker("F", ranges=[(2 * CELL + 7 * PART, 3 * PART), (11 * CELL, PART)])
        guest.zero(cells=[4], ranges=[(3 * CELL - PART, 2 * PART)])
        trial.verify_guest("ready, after small writes")
        job.pivot()

    trial.verify("pivoted")
    assert disk.chain() == Chain.of(disk.image("base"))
