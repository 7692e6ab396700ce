"""The same act by every face of libvirt's API: through virsh or the binding; disks by path, layers by their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.chain import (
    Abort,
    ActiveCommit,
    AwaitCompleted,
    AwaitReady,
    Commit,
    Copy,
    Pivot,
    Pull,
    Resize,
    SetSpeed,
)
from harness.acts.snapshot import Snapshot
from harness.oracle.chain import Chain
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

HANDS = ("virsh", "by path", "by index")
_ALL = ("base", "sn1", "sn2", "cur")
STORIES: Mapping[str, tuple[Sequence[Act], Sequence[str]]] = {
    "commit": ((Commit("vda", "sn2", "sn1"), AwaitCompleted("vda")), ("base", "sn1", "cur")),
    "commit, shallow": ((Commit("vda", "sn1", "base", shallow=True), AwaitCompleted("vda")), ("base", "sn2", "cur")),
    "active commit": ((ActiveCommit("vda", "base"), AwaitReady("vda"), Pivot("vda")), ("base",)),
    "pull": ((Pull("vda"), AwaitCompleted("vda")), ("cur",)),
    "pull, plain": ((Pull("vda", plain=True), AwaitCompleted("vda")), ("cur",)),
    "pull onto a layer": ((Pull("vda", "sn1"), AwaitCompleted("vda")), ("base", "sn1", "cur")),
    "copy": ((Copy("vda", "copy"), AwaitReady("vda"), SetSpeed("vda", 8), Pivot("vda")), ("copy",)),
    "copy, given up": ((Copy("vda", "copy"), AwaitReady("vda"), Abort("vda")), _ALL),
    "resize": ((Resize("vda", 1 << 20),), _ALL),
    "snapshot": ((Snapshot("vda", "sn3"),), (*_ALL, "sn3")),
}


@pytest.mark.parametrize("by", HANDS)
@pytest.mark.parametrize("story", STORIES)
def test_every_face_means_the_same(trial: Trial, layered: Vm, story: str, by: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   what the row says."""
    acts, left = STORIES[story]
    vda = layered.disk("vda")

    trial.do(*acts, by=by)
    vda.write("E", (0, 10))

    trial.verify("done")
    assert vda.chain() == Chain.named(*left)
