"""The event of a block threshold: once, of the layer that it was set for, and of none that was not reached."""

from __future__ import annotations

from harness.stack.events import Event, EventKind
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

_FAR = 1 << 40


def test_a_write_beyond_the_threshold_is_told_once(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live): the first write tells, by both names of the layer; the next one does not."""
    vda = layered.disk("vda")
    numbered = vda.numbered("cur")

    vda.tell_beyond(1)
    vda.write("E", (0,))
    _await(trial)
    vda.write("F", (10,))

    trial.verify("written")
    assert [(event.subject, event.status) for event in _told(trial)] == [
        ("vda", "over 1"),
        (numbered, "over 1"),
    ]


def test_a_threshold_that_is_not_reached_is_not_told(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   base (live)."""
    vda = layered.disk("vda")

    vda.tell_beyond(_FAR)
    vda.write("E", (0, 10))
    with vda.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()

    trial.verify("pivoted")
    assert not _told(trial)


def test_a_commit_tells_of_the_layer_that_it_writes_to(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   base (live); the event names base by its number."""
    vda = layered.disk("vda")
    numbered = vda.numbered("base")

    vda.tell_beyond(1, layer="base")
    with vda.active_commit(into="base") as job:
        job.wait_ready()
        event = _await(trial)
        job.pivot()

    trial.verify("pivoted")
    assert event.subject == numbered


def _await(trial: Trial) -> Event:
    """The first event of a threshold, which may come after the call that it is about."""
    return trial.daemon.events.wait(
        "libvirt to tell of the threshold",
        lambda event: event.kind is EventKind.THRESHOLD,
        since=trial.first_event,
        timeout=10,
    )


def _told(trial: Trial) -> list[Event]:
    return [event for event in trial.daemon.events.events[trial.first_event :] if event.kind is EventKind.THRESHOLD]
