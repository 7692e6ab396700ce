"""Saboteurs of checkpoints and backups: bitmaps that say too little, records that are lies, a backup of no instant."""

from __future__ import annotations

import json
from collections.abc import Callable

from harness.acts.backup import BeginBackup, EndBackup
from harness.acts.checkpoint import CreateCheckpoint, DeleteCheckpoint
from harness.acts.guest import Write
from harness.detect import patches, traces
from harness.detect.behind import qmp
from harness.detect.lies import pretend
from harness.detect.saboteur import CLAIM, Family, Saboteur, Scene, unopened

_BITMAPS = ("exports and bitmaps",)


def _on_the_bitmap(command: str) -> Callable[[Scene], None]:
    """Make a checkpoint, write, and do something to its bitmap behind libvirt's back."""

    def install(scene: Scene) -> None:
        scene.trial.do(CreateCheckpoint("ck"), Write("vda", "X", (5,)))
        scene.begin()
        qmp(scene.vm.domain, command, node=_active_node(scene), name="ck")

    return install


def _active_node(scene: Scene) -> str:
    nodes = json.loads(scene.vm.domain.monitor("query-named-block-nodes"))["return"]
    return next(str(node["node-name"]) for node in nodes if node.get("dirty-bitmaps"))


def _too_much(scene: Scene) -> None:
    """A write that the guest makes, and of which the oracle does not learn: the same bytes that were there."""
    scene.trial.do(CreateCheckpoint("ck"))
    scene.begin()
    data = scene.vm.disk().read()[:4096]
    scene.vm.domain.port.write("vda", [(0, 4096)], data)


def _unrecorded(scene: Scene) -> None:
    scene.trial.do(CreateCheckpoint("ck"))
    pretend(scene.trial, DeleteCheckpoint("ck"))


def _not_made(scene: Scene) -> None:
    pretend(scene.trial, CreateCheckpoint("ck"))


def _another_instant(scene: Scene) -> None:
    """The backup begins before a write that the oracle takes to be in it."""
    begun = BeginBackup().call(scene.trial.state)
    scene.trial.stage.hands["binding"].perform(begun)
    scene.trial.do(Write("vda", "X", (5,)))
    pretend(scene.trial, BeginBackup())
    scene.trial.verify_backup("afterwards")
    scene.trial.do(EndBackup())


def _dirty_otherwise(scene: Scene) -> None:
    """The guest has written once more what was there since the checkpoint, says the oracle; it has not."""
    scene.trial.do(Write("vda", "X", (5,)), CreateCheckpoint("ck"))
    pretend(scene.trial, Write("vda", "X", (5,)))
    scene.trial.do(BeginBackup(since="ck"))
    scene.trial.verify_backup("since it")
    scene.trial.do(EndBackup())


def _bit_lost(scene: Scene) -> None:
    scene.trial.do(CreateCheckpoint("ck"), Write("vda", "X", (5, 7)))
    scene.vm.shut_off()
    scene.begin()
    patches.lose_bit(scene.trial, "cur")


_J, _Q = Family.JOB, Family.QEMU
ROWS = (
    Saboteur(
        "a bitmap that lost a write",
        _Q,
        "the bitmap of a checkpoint is cleared",
        _BITMAPS,
        "has 65536 bytes that were written",
        _on_the_bitmap("block-dirty-bitmap-clear"),
        traces.nodes,
    ),
    Saboteur(
        "a bitmap that is gone",
        _Q,
        "the bitmap of a checkpoint is removed",
        _BITMAPS,
        "the bitmap ck of cur is there",
        _on_the_bitmap("block-dirty-bitmap-remove"),
        traces.nodes,
    ),
    Saboteur(
        "a bitmap that records no more",
        _Q,
        "the bitmap of a checkpoint is disabled",
        _BITMAPS,
        "it has recording False",
        _on_the_bitmap("block-dirty-bitmap-disable"),
        traces.nodes,
    ),
    Saboteur(
        "a bitmap with too much",
        _Q,
        "the bitmap of a checkpoint has what nobody wrote, to the oracle",
        _BITMAPS,
        "has 0 bytes that were written",
        _too_much,
        traces.nodes,
    ),
    Saboteur(
        "a checkpoint that is not deleted",
        _J,
        "it is reported deleted, and is still there",
        ("exports and bitmaps", "checkpoints"),
        "of cur has no bitmap",
        _unrecorded,
        traces.lies,
    ),
    Saboteur(
        "a checkpoint that is not made",
        _J,
        "it is reported made, and there is none",
        ("exports and bitmaps", "checkpoints"),
        "the bitmap ck of cur is there",
        _not_made,
        traces.lies,
    ),
    Saboteur(
        "a backup of another instant",
        _J,
        "it begins before a write that it should have",
        (CLAIM,),
        "the backup shows at afterwards the disk of the instant",
        _another_instant,
        traces.lies,
    ),
    Saboteur(
        "a backup that lacks what was written",
        _J,
        "a write since the checkpoint is not among what it says was written",
        (CLAIM,),
        "the backup says at since it what was written",
        _dirty_otherwise,
        traces.lies,
    ),
    Saboteur(
        "one bit of a bitmap",
        Family.IMAGE,
        "of the two granules that a bitmap in a file has, one is lost",
        ("inside images",),
        "it lacks [5]",
        _bit_lost,
        traces.image("cur"),
    ),
    unopened(
        "a bitmap in a file that nobody made",
        "sn1 has a bitmap",
        ("inside images",),
        "sn1 has no bitmaps inside",
        lambda scene: patches.leave_bitmap(scene.trial, "sn1"),
        traces.image("sn1"),
    ),
)
