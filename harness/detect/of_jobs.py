"""Saboteurs of block jobs and snapshots: done otherwise than they were told, or not at all."""

from __future__ import annotations

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
)
from harness.detect import patches, traces
from harness.detect.behind import qmp
from harness.detect.lies import abort_the_job, do_unseen, pretend
from harness.detect.saboteur import COMMITTED, DEFINED, LISTED, LIVE, OPENED, Family, Saboteur, Scene


def _not_pivoted(scene: Scene) -> None:
    scene.trial.do(ActiveCommit("vda", "base"), AwaitReady("vda"))
    pretend(scene.trial, Pivot("vda"), instead=lambda: abort_the_job(scene.trial))


def _never_begun(scene: Scene) -> None:
    pretend(scene.trial, *COMMITTED)


def _do_another(scene: Scene, told: Act, done: Act, *then: Act) -> None:
    """Do another act than is told, and go on."""
    pretend(scene.trial, told, instead=lambda: do_unseen(scene.trial, done))
    scene.trial.do(*then)


def _into_another_layer(scene: Scene) -> None:
    _do_another(scene, ActiveCommit("vda", "base"), ActiveCommit("vda", "sn1"), AwaitReady("vda"), Pivot("vda"))


def _from_another_layer(scene: Scene) -> None:
    _do_another(scene, Commit("vda", "sn2", "base"), Commit("vda", "sn1", "base"), AwaitCompleted("vda"))


def _pulled_in_part(scene: Scene) -> None:
    _do_another(scene, Pull("vda"), Pull("vda", "base"), AwaitCompleted("vda"))


def _pulled_too_much(scene: Scene) -> None:
    _do_another(scene, Pull("vda", "sn1"), Pull("vda"), AwaitCompleted("vda"))


def _copied_in_part(scene: Scene) -> None:
    _do_another(scene, Copy("vda", "copy"), Copy("vda", "copy", shallow=True), AwaitReady("vda"), Pivot("vda"))


def _aborted_by_a_pivot(scene: Scene) -> None:
    trial = scene.trial
    trial.do(ActiveCommit("vda", "base"), AwaitReady("vda"))
    pretend(trial, Abort("vda"), instead=lambda: do_unseen(trial, Pivot("vda")))


def _last_cluster_lost(scene: Scene) -> None:
    scene.trial.do(*COMMITTED)
    scene.begin()
    patches.forget_cluster(scene.trial, "base", 9)


def _write_lost(scene: Scene) -> None:
    scene.trial.do(*COMMITTED)
    scene.begin()
    patches.put_back(scene.trial, "base", "B", 3, stale="A")


def _header_not_updated(scene: Scene) -> None:
    scene.trial.do(Pull("vda", "base"), AwaitCompleted("vda"))
    scene.vm.shut_off()
    scene.begin()
    patches.name_backing(scene.trial, "cur", "sn2")


def _job_left(scene: Scene) -> None:
    scene.trial.do(ActiveCommit("vda", "base"), AwaitReady("vda"))
    scene.broken()
    scene.stack.callback(abort_the_job, scene.trial)


def _job_not_dismissed(scene: Scene) -> None:
    options = {"driver": "file", "filename": "/small/left", "size": 65536}
    qmp(scene.vm.domain, "blockdev-create", **{"job-id": "left", "options": options})
    scene.stack.callback(lambda: qmp(scene.vm.domain, "job-dismiss", id="left") if scene.vm.state.is_on else None)


_J = Family.JOB
ROWS = (
    Saboteur(
        "a commit that is not pivoted",
        _J,
        "the pivot is reported done, and the job was aborted",
        (LIVE, DEFINED, OPENED, LISTED),
        "still there: sn1, sn2, cur",
        _not_pivoted,
        traces.lies,
    ),
    Saboteur(
        "a commit that never began",
        _J,
        "it is reported ready and pivoted, and nothing was done",
        ("content", LIVE, DEFINED, OPENED, LISTED, "ends of jobs"),
        "base contains: cell 0 should be D, is A",
        _never_begun,
        traces.lies,
    ),
    Saboteur(
        "a commit into another layer",
        _J,
        "what was to be committed into base is into sn1, and sn1 is pivoted to",
        ("content", LIVE, DEFINED, OPENED, LISTED),
        "still there: sn1",
        _into_another_layer,
        traces.lies,
    ),
    Saboteur(
        "a commit from another layer",
        _J,
        "sn1 is committed into base in place of sn2",
        ("content", LIVE),
        "base contains: cell 5 should be C, is B",
        _from_another_layer,
        traces.lies,
    ),
    Saboteur(
        "a commit without its last cluster",
        _J,
        "the last cluster of what was committed is not in base",
        ("content",),
        "base contains: cell 9 should be D, is a hole",
        _last_cluster_lost,
        traces.image("base"),
    ),
    Saboteur(
        "a commit that lost a write",
        _J,
        "base has the old bytes where the commit should have put new ones",
        ("content",),
        "base contains: cell 3 should be B, is A",
        _write_lost,
        traces.image("base"),
    ),
    Saboteur(
        "an abort that pivots",
        _J,
        "the job is reported aborted, and was pivoted",
        (LIVE, DEFINED, OPENED, LISTED, "ends of jobs"),
        "missing: sn1, sn2, cur",
        _aborted_by_a_pivot,
        traces.lies,
    ),
    Saboteur(
        "a pull that ends too soon",
        _J,
        "base is not pulled though all of the chain was to be",
        ("content", LIVE),
        "cur contains: cell 1 should be A, is a hole",
        _pulled_in_part,
        traces.lies,
    ),
    Saboteur(
        "a pull that takes too much",
        _J,
        "the whole chain is pulled though base and sn1 were to stay",
        ("content", LIVE),
        "cur contains: cell 1 should be a hole, is A",
        _pulled_too_much,
        traces.lies,
    ),
    Saboteur(
        "a copy that is shallow",
        _J,
        "only the active layer is copied though all was to be",
        ("content", LIVE),
        "copy contains: cell 1 should be A, is a hole",
        _copied_in_part,
        traces.lies,
    ),
    Saboteur(
        "a pull that leaves the header",
        _J,
        "the header of cur names the layer that it no longer is on",
        ("chain in the image headers",),
        "the chain in the image headers ... is base <- cur",
        _header_not_updated,
        traces.image("cur"),
    ),
    Saboteur(
        "a job that is left",
        _J,
        "a commit is ready when the scenario ends, and has a mirror",
        ("block nodes", "exports and bitmaps", "no job left", "no job in QEMU", "events in order"),
        "the live XML has <mirror>",
        _job_left,
        traces.jobs,
    ),
    Saboteur(
        "a job in QEMU that nobody dismisses",
        _J,
        "QEMU keeps a job that is done, and libvirt knows nothing of it",
        ("no job in QEMU",),
        "query-jobs: ... 'id': 'left'",
        _job_not_dismissed,
        traces.jobs,
    ),
)
