"""Saboteurs of snapshots: not made, without a record, not deleted, one too many."""

from __future__ import annotations

import libvirt

from harness.acts.records import DeleteSnapshot
from harness.acts.snapshot import Snapshot
from harness.detect import traces
from harness.detect.lies import pretend
from harness.detect.saboteur import COMMITTED, DEFINED, LIVE, OPENED, Family, Saboteur, Scene


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


_J = Family.JOB
ROWS = (
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
