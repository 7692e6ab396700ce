"""Snapshots and jobs that meet writes of the guest which are in flight: none that is acknowledged is lost."""

from __future__ import annotations

from harness.oracle.chain import Chain
from harness.oracle.geometry import Geometry
from harness.trial.trial import Trial

MANY = Geometry(cells=192, part_size=65536)


def test_writes_that_meet_snapshots_and_a_commit_are_all_seen_by_the_guest(trial: Trial) -> None:
    """base <- sn1 <- cur (live, each made while the guest writes)   becomes   base (live)."""
    trial.create_base(MANY)
    vda = trial.define().bring_up().disk("vda")
    vda.write("A", range(192))
    for overlay, label, cells in (("sn1", "B", range(100)), ("cur", "C", range(90, 192))):
        vda.begin_write(label, cells)
        vda.snapshot(overlay)
        vda.end_write()
        trial.verify_guest(f"{label} is acknowledged")

    vda.begin_write("D", range(0, 192, 2))
    with vda.active_commit(into="base") as job:
        vda.end_write()
        job.wait_ready()
        vda.begin_write("E", range(0, 192, 3))
        job.pivot()
    vda.end_write()

    trial.verify("pivoted")
    assert vda.chain() == Chain.named("base")


def test_writes_that_are_not_flushed_are_in_the_image_once_they_are(trial: Trial) -> None:
    """base (live), written to without a flush, as zeros too   stays   base (live)."""
    trial.create_base()
    vda = trial.define().bring_up().disk("vda")
    vda.write("A", (0, 1, 2), flush=False)
    vda.zero((1, 4), as_data=True, flush=False)
    assert vda.content.unflushed

    trial.verify("after its flush")
    assert not vda.content.unflushed
