"""Incremental backups: what was written since a checkpoint, put on the backup before, is the disk of the instant."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.acts.images import CreateImage, Rebase
from harness.oracle.geometry import Geometry
from harness.oracle.image import Format, Qcow2
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")
GEOMETRIES: Mapping[str, tuple[Format, Geometry]] = {
    "clusters of 64 KiB": (Qcow2(), Geometry()),
    "clusters of 4 KiB": (Qcow2(cluster_size=4096), Geometry()),
    "clusters of 2 MiB": (Qcow2(cluster_size=2 << 20), Geometry(cells=48)),
    "subclusters": (Qcow2(cluster_size=131072, subclusters=True), Geometry()),
    "a tail of a sector": (Qcow2(), Geometry(tail=512)),
}


_FULL = ("clusters of 2 MiB", "a tail of a sector")
ROWS = [pytest.param(form, marks=[pytest.mark.full] if form in _FULL else []) for form in GEOMETRIES]


@pytest.mark.parametrize("form", ROWS)
def test_a_chain_of_backups_shows_the_disk_of_each_instant(trial: Trial, form: str) -> None:
    """base <- sn1 <- sn2 (live)   is backed up as   full, full <- inc1, full <- inc1 <- inc2."""
    image, geometry = GEOMETRIES[form]
    trial.create_base(geometry, form=image)
    vda = trial.define().bring_up().disk("vda")
    vda.write("A", (0, 1, 2, 3))
    vda.snapshot("sn1")
    vda.zero((2,))
    instants = [vda.content.guest()]
    vda.backup("full", checkpoint="ck1")
    vda.write("B", (1, 5), ranges=((7 * 65536 + 4096, 8192),))
    vda.discard((0,))
    instants.append(vda.content.guest())
    vda.backup("inc1", since="ck1", checkpoint="ck2")
    vda.snapshot("sn2")
    vda.write("C", ranges=((5 * 65536 + 4096, 4096), (9 * 65536 - 4096, 8192)))
    instants.append(vda.content.guest())
    vda.backup("inc2", since="ck2")
    vda.write("D", (0, 3))

    trial.verify("backed up")
    trial.do(Rebase("inc1", "full"), Rebase("inc2", "inc1"))
    trial.verify("put together")
    for name, instant in zip(("full", "inc1", "inc2"), instants, strict=True):
        assert vda.content.reads_as(name, instant)


def test_a_client_reads_what_was_written_since_a_checkpoint_twice(trial: Trial) -> None:
    """base <- sn1 (live), backed up since ck1   the client leaves and comes back: the same bytes are dirty."""
    trial.create_base()
    trial.do(CreateImage("data", "vdb"))
    vm = trial.define().bring_up()
    vda, vdb = vm.disk("vda"), vm.disk("vdb")
    vda.write("A", (0, 1, 2))
    vdb.write("A", (4,))
    vm.checkpoint("ck1")
    vda.write("B", (1,), ranges=((5 * 65536 + 4096, 4096),))
    vda.snapshot("sn1")
    vda.write("C", (7,))
    vdb.zero((4, 6))

    with vm.pull_backup(since="ck1", checkpoint="ck2"):
        trial.verify_backup("at once")
        vda.write("D", (0, 1, 8))
        vdb.discard((4,))
        trial.verify_backup("after writes")
    vm.checkpoint("ck3")
    vda.write("E", (9,))
    with vm.pull_backup(since="ck2"):
        trial.verify_backup("since the second checkpoint")

    trial.verify("the backups are ended")
    assert vda.content.written_since("ck2").dirty == {0, 1, 8, 9}
