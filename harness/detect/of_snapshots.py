"""Saboteurs of snapshots: not made, without a record, not deleted, one too many; inside images, and reverts."""

from __future__ import annotations

import libvirt

from harness.acts.guest import Write
from harness.acts.power import Reset, ShutOff
from harness.acts.records import DeleteSnapshot
from harness.acts.revert import RevertToSnapshot
from harness.acts.snapshot import InternalSnapshot, Snapshot
from harness.detect import patches, traces
from harness.detect.lies import pretend
from harness.detect.saboteur import CLAIM, COMMITTED, DEFINED, LIVE, OPENED, Family, Saboteur, Scene


def _extra_image(scene: Scene) -> None:
    call = Snapshot("vda", "extra").call(scene.trial.state)
    flag = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
    scene.trial.do(*COMMITTED)
    scene.begin()
    scene.vm.domain.call("the snapshot", lambda handle: handle.snapshotCreateXML(call.xml, flag))


def _snapshot_not_made(scene: Scene) -> None:
    pretend(scene.trial, Snapshot("vda", "late"))


def _no_record(scene: Scene) -> None:
    meant, done = Snapshot("vda", "late", name="late"), Snapshot("vda", "late").call(scene.trial.state)
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    call = scene.vm.domain.call
    pretend(
        scene.trial,
        meant,
        instead=lambda: call("the snapshot", lambda handle: handle.snapshotCreateXML(done.xml, flags)) and None,
    )


def _record_left(scene: Scene) -> None:
    """The snapshot is gone from libvirt's records to the oracle; in truth nothing happened."""
    scene.trial.do(Snapshot("vda", "late", name="late"))
    pretend(scene.trial, DeleteSnapshot("late"))


def _inside_put_back(scene: Scene) -> None:
    """What the snapshot has kept of cell 1 is what was there before: QEMU lost the write that it waited for."""
    scene.trial.do(Write("vda", "X", (5,)), Write("vda", "Y", (5,)), InternalSnapshot("late"), Write("vda", "Z", (5,)))
    scene.begin()
    patches.put_back(scene.trial, "cur", "Y", 5, "X")


def _inside_not_made(scene: Scene) -> None:
    pretend(scene.trial, InternalSnapshot("late"))


def _inside_left(scene: Scene) -> None:
    scene.trial.do(InternalSnapshot("late"))
    pretend(scene.trial, DeleteSnapshot("late"))


def _not_gone_back(scene: Scene) -> None:
    scene.trial.do(InternalSnapshot("late"), Write("vda", "X", (5,)))
    pretend(scene.trial, RevertToSnapshot("late"))


def _another_loaded(scene: Scene) -> None:
    """Of the guest of another boot; the disk is the same."""
    scene.trial.do(InternalSnapshot("one"), Reset(), InternalSnapshot("two"), ShutOff())
    scene.begin()
    patches.swap_names_inside(scene.trial, "cur", b"one", b"two")
    scene.trial.do(RevertToSnapshot("one"))


_J = Family.JOB
ROWS = (
    Saboteur(
        "a write that a snapshot inside has lost",
        Family.IMAGE,
        "what a snapshot inside an image has kept is older than what was flushed before it",
        ("content",),
        "cur@late contains: cell 5 should be Y, is X",
        _inside_put_back,
        traces.image("cur"),
    ),
    Saboteur(
        "a snapshot inside that is not made",
        _J,
        "an internal snapshot is reported made, and there is none",
        ("content", "snapshots"),
        "cur@late was not measured",
        _inside_not_made,
        traces.lies,
    ),
    Saboteur(
        "a snapshot inside that is not deleted",
        _J,
        "an internal snapshot is reported deleted, and is still there",
        ("content", "snapshots"),
        "cur@late should not be there",
        _inside_left,
        traces.lies,
    ),
    Saboteur(
        "a revert that is not done",
        _J,
        "the disk and the guest are what they were before the revert",
        ("content",),
        "cell 5 should be a hole, is X",
        _not_gone_back,
        traces.lies,
    ),
    Saboteur(
        "a revert to another snapshot's guest",
        Family.GUEST,
        "a guest goes on that is not the one of the snapshot",
        (CLAIM,),
        "the guest that goes on is the one of the snapshot one",
        _another_loaded,
        traces.image("cur"),
    ),
    Saboteur(
        "an extra image in the chain",
        _J,
        "there is one more overlay on the chain than there should be",
        (LIVE, "files"),
        "base <- /export/images/extra.qcow2",
        _extra_image,
        traces.images,
    ),
    Saboteur(
        "a snapshot that is not made",
        _J,
        "it is reported made, and there is no overlay",
        ("content", LIVE, DEFINED, OPENED, "block nodes", "files"),
        "missing: late",
        _snapshot_not_made,
        traces.lies,
    ),
    Saboteur(
        "a snapshot without a record",
        _J,
        "libvirt keeps no record of the snapshot that it made",
        ("snapshots",),
        "libvirt has records of the snapshots late",
        _no_record,
        traces.lies,
    ),
    Saboteur(
        "a snapshot that is not deleted",
        _J,
        "it is reported deleted, and is still there",
        (LIVE, "snapshots"),
        "still there: /export/images/late.qcow2",
        _record_left,
        traces.lies,
    ),
)
