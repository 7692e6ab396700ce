"""Saboteurs of libvirt's events: lost, late, doubled, out of order, or of something that there was not."""

from __future__ import annotations

from harness.detect import traces
from harness.detect.lies import Hear, hearing, later, of_jobs, swapped
from harness.detect.saboteur import COMMITTED, Family, Saboteur, Scene
from harness.stack.events import Event, EventKind
from harness.vm import jobs
from harness.waiting import now


def _commit(scene: Scene) -> None:
    scene.broken()
    scene.trial.do(*COMMITTED)


def _heard(scene: Scene, hear: Hear) -> None:
    """Commit, and hear of its events what `hear` makes of them."""
    scene.stack.enter_context(swapped(jobs, "LATE", 0.5))  # seconds, in place of 5
    scene.stack.enter_context(hearing(scene.trial, hear))
    _commit(scene)


def _deaf_to(status: str) -> Hear:
    lost = of_jobs(status)
    return lambda event: [] if lost(event) else [event]


def _late(scene: Scene) -> None:
    late = of_jobs("completed")

    def hear(event: Event) -> list[Event]:
        if not late(event):
            return [event]
        later(scene.trial, event, 3.0)
        return []

    _heard(scene, hear)


def _doubled(scene: Scene) -> None:
    twice = of_jobs("completed")
    _heard(scene, lambda event: [event, event] if twice(event) else [event])


def _ready_twice(scene: Scene) -> None:
    twice = of_jobs("ready")
    _heard(scene, lambda event: [event, event] if twice(event) else [event])


def _out_of_order(scene: Scene) -> None:
    """A second READY that comes after the end."""
    ready, end, kept = of_jobs("ready"), of_jobs("completed"), []

    def hear(event: Event) -> list[Event]:
        if ready(event):
            kept.append(event)
        return [event, next(each for each in kept if each.kind is event.kind)] if end(event) else [event]

    _heard(scene, hear)


def _of_one_kind(scene: Scene) -> None:
    end = of_jobs("completed")
    _heard(scene, lambda event: [] if end(event) and event.kind is EventKind.BLOCK_JOB else [event])


def _of_nothing(scene: Scene) -> None:
    event = Event(now(), EventKind.BLOCK_JOB, scene.vm.name, "/export/images/cur.qcow2", "completed", "pull")
    scene.trial.daemon.events.events.append(event)


def _of_no_disk(scene: Scene) -> None:
    for kind in (EventKind.BLOCK_JOB, EventKind.BLOCK_JOB_2):
        scene.trial.daemon.events.events.append(Event(now(), kind, scene.vm.name, "vdz", "completed", "pull"))


def _io_error_event(scene: Scene) -> None:
    event = Event(now(), EventKind.IO_ERROR, scene.vm.name, "virtio-disk0 /export/images/cur.qcow2", "action 1", "")
    scene.trial.daemon.events.events.append(event)


_L, _E = Family.LIBVIRT, Family.EVENT
ROWS = (
    Saboteur(
        "a READY that never comes",
        _E,
        "of the events of a job, those that it is ready are lost",
        ("BlockJobFailed",),
        "no event that the job of vda is ready, though by its own state it has been",
        lambda scene: _heard(scene, _deaf_to("ready")),
        traces.lies,
    ),
    Saboteur(
        "an end that is never told",
        _E,
        "of the events of a job, those of its end are lost",
        ("BlockJobFailed",),
        "no event that the job of vda is completed, though by its own state it has been",
        lambda scene: _heard(scene, _deaf_to("completed")),
        traces.lies,
    ),
    Saboteur(
        "an end that is told too late",
        _E,
        "the events of a job's end come three seconds after libvirt knows of it",
        ("BlockJobFailed",),
        "no event that the job of vda is completed, though by its own state it has been",
        _late,
        traces.lies,
    ),
    Saboteur(
        "an end that is told twice",
        _E,
        "each event of a job's end comes twice",
        ("ends of jobs",),
        "too many: active-commit completed",
        _doubled,
        traces.lies,
    ),
    Saboteur(
        "a READY that is told twice",
        _E,
        "each event that a job is ready comes twice",
        ("events in order",),
        "one READY at most",
        _ready_twice,
        traces.lies,
    ),
    Saboteur(
        "a READY after the end",
        _E,
        "a job is said to be ready once more when it has ended",
        ("events in order",),
        "every job has its terminal event",
        _out_of_order,
        traces.lies,
    ),
    Saboteur(
        "an end that only one kind of event tells",
        _E,
        "the block-job event of a job's end is lost, block-job-2 comes",
        ("events alike",),
        "block-job and block-job-2 tell the same",
        _of_one_kind,
        traces.lies,
    ),
    Saboteur(
        "an event of a job that there was not",
        _E,
        "block-job tells of the end of a pull",
        ("events alike",),
        "block-job and block-job-2 tell the same",
        _of_nothing,
        traces.events,
    ),
    Saboteur(
        "an event of a disk that there is not",
        _E,
        "both kinds of event tell of the end of a pull of vdz",
        ("events alike",),
        "events come for vda only",
        _of_no_disk,
        traces.events,
    ),
    Saboteur(
        "an event of an I/O error",
        _E,
        "libvirt tells of an I/O error that has left no trace",
        ("no I/O error",),
        "no I/O error event",
        _io_error_event,
        traces.events,
    ),
)
