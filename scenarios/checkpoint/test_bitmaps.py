"""What was written since a checkpoint is known exactly, whatever is done to the chain since."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pytest

from harness.trial.nouns import Disk
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")


def _nothing(_: Disk) -> None:
    """Nothing."""


def _snapshot(vda: Disk) -> None:
    vda.snapshot("sn1")


def _active_commit(vda: Disk, *, pivots: bool = True) -> None:
    vda.snapshot("sn1")
    vda.write("M", (7, 8))
    with vda.active_commit("base") as job:
        job.wait_ready()
        vda.write("N", (9,))
        job.pivot() if pivots else job.abort()


def _commit(vda: Disk) -> None:
    vda.snapshot("sn1")
    vda.write("M", (7, 8))
    vda.snapshot("sn2")
    vda.write("N", (9,))
    with vda.commit("sn1", "base") as job:
        job.wait_completed()


def _pull(vda: Disk) -> None:
    vda.snapshot("sn1")
    vda.write("M", (7, 8))
    with vda.pull() as job:
        job.wait_completed()


def _copy(vda: Disk) -> None:
    vda.snapshot("sn1")
    vda.write("M", (7, 8))
    with vda.copy("copy") as job:
        job.wait_ready()
        vda.write("N", (9,))
        job.pivot()


def _restart(vda: Disk) -> None:
    vda.vm.shut_off()
    vda.vm.bring_up()


def _resize(vda: Disk) -> None:
    vda.resize(2 << 20)


ACTS: Mapping[str, Callable[[Disk], None]] = {
    "nothing": _nothing,
    "snapshot": _snapshot,
    "active commit": _active_commit,
    "aborted commit": partial(_active_commit, pivots=False),
    "commit": _commit,
    "pull": _pull,
    "copy": _copy,
    "restart": _restart,
    "resize": _resize,
}


@pytest.mark.parametrize("act", ACTS)
def test_bitmaps_say_what_was_written_since_each_checkpoint(trial: Trial, act: str) -> None:
    """base (live), a checkpoint, an act, another checkpoint   both say what was written since, and no more."""
    trial.create_base()
    vm = trial.define().bring_up()
    vda = vm.disk("vda")
    vda.write("A", (0, 1, 2, 3))
    vm.checkpoint("ck1")
    vda.write("B", (1,), ranges=((5 * 65536 + 4096, 4096),))
    ACTS[act](vda)
    vm.checkpoint("ck2")
    vda.write("C", (3, 4))
    vda.discard((0,))
    vda.zero((10,))

    trial.verify("written")
    assert len(vda.content.written_since("ck2").dirty) == 4
