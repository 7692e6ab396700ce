"""The universal checks of what libvirt tells (O7): of each job, once and in order; of pauses, what was asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from harness.oracle.image import Nbd
from harness.oracle.job import End
from harness.stack.events import Event, EventKind
from harness.verdict.check import DEFINED, Check, Subject
from harness.verdict.finding import Finding
from harness.waiting import settled

_ENDS = ("completed", "canceled", "failed")
_TURNS = ("suspended", "resumed", "pm-suspended")
_SAVED = "detail 4"  # VIR_DOMAIN_EVENT_STOPPED_SAVED
LATE = 2.0
"""Seconds: an event can come after the call that it is about has returned."""


def events_in_order(subject: Subject) -> Iterator[Finding]:
    """Read the disk's block-job events of both kinds."""
    target = subject.disk.target
    seen = subject.sight.events(subject.vm)
    mine = [
        event
        for event in seen
        if (event.kind is EventKind.BLOCK_JOB_2 and event.subject == target) or event.status == "stopped"
    ]
    # a job ends with its VM, too
    order = [(event.reason if event.kind is EventKind.BLOCK_JOB_2 else "VM", event.status) for event in mine]
    ready, one_daemon = False, subject.trial.state.daemons == 1
    for job, status in order:
        again = ready and one_daemon  # another one may say so again
        if status == "ready" and (again or job not in ("active-commit", "copy")):
            yield subject.wrong("one READY at most, of a two-phase job", str(order))
            return
        ready = status == "ready"
    if ready and one_daemon:
        yield subject.wrong("every job has its terminal event", str(order))


def events_alike(subject: Subject) -> Iterator[Finding]:
    """Compare block-job events with block-job-2 events: the former name a path, and do not come where there is none."""
    seen = subject.sight.events(subject.vm)
    kinds = (EventKind.BLOCK_JOB, EventKind.BLOCK_JOB_2)
    older, newer = ([(event.reason, event.status) for event in seen if event.kind is kind] for kind in kinds)
    images = [image for disk in subject.vm.all_disks for image in disk.images()]
    pathless = len(newer) if any(isinstance(image.store, Nbd) for image in images) else 0
    if not alike(older, newer, cuts=subject.sight.trial.state.daemons - 1 + pathless):
        yield subject.wrong("block-job and block-job-2 tell the same", f"{older} and {newer}")
    targets = {disk.target for disk in subject.vm.all_disks}
    others = [event for event in seen if event.kind is EventKind.BLOCK_JOB_2 and event.subject not in targets]
    if others:
        yield subject.wrong(f"events come for {', '.join(sorted(targets))} only", "; ".join(map(str, others)))


def alike(one: list[tuple[str, str]], other: list[tuple[str, str]], cuts: int) -> bool:
    """Whether they are the same, but for one event for each of the `cuts`: a daemon ended between its two kinds."""
    fewer, more = sorted((one, other), key=len)
    rest = iter(more)
    return len(more) - len(fewer) <= cuts and all(event in rest for event in fewer)


def ends_of_jobs(subject: Subject) -> Iterator[Finding]:
    """Compare the disk's terminal events with the ends of jobs that the oracle knows of."""
    expected, target = subject.disk.content.ends, subject.disk.target
    pattern = "".join(map(_pattern, expected))
    seen = _settled(lambda: _ends(subject), lambda ends: bool(re.fullmatch(pattern, "".join(f"{e};" for e in ends))))
    if seen is None:
        return
    wanted = ", ".join(f"{end}{'' if end.certain else ' (perhaps)'}" for end in expected)
    claim = f"libvirt tells once of the end of each job of {target}: {wanted or 'there was none'}"
    missing = Counter(str(end) for end in expected if end.certain) - Counter(seen)
    extra = Counter(seen) - Counter(map(str, expected))
    difference = [f"missing: {', '.join(missing.elements())}"] if missing else []
    difference += [f"too many: {', '.join(extra.elements())}"] if extra else []
    yield subject.wrong(claim, ", ".join(seen) or "it tells of none", "\n".join(difference or ["in another order"]))


def _ends(subject: Subject) -> list[str]:
    return [
        f"{event.reason} {event.status}"
        for event in subject.sight.events(subject.vm)
        if event.kind is EventKind.BLOCK_JOB_2 and event.subject == subject.disk.target and event.status in _ENDS
    ]


def _pattern(end: End) -> str:
    """What an end may be told as: a job that ended with its VM need not be told of, and may have failed in any way."""
    how = end.how if end.how != "failed" else "(failed|canceled)"
    return f"({end.kind} {how};){'' if end.certain else '?'}"


def turns_asked_for(subject: Subject) -> Iterator[Finding]:
    """Compare the events of the processors with what the acts mean, without those that belong to starts and saves."""
    expected = list(subject.vm.state.turns)
    pattern = "".join(f"({turn[:-1]};)?" if turn.endswith("?") else f"{turn};" for turn in expected)
    seen = _settled(
        lambda: [f"{event.status} ({event.reason})" for event in _turns(subject.sight.events(subject.vm))],
        lambda turns: bool(re.fullmatch(pattern, "".join(f"{turn.partition(' ')[0]};" for turn in turns))),
    )
    if seen is not None:
        claim = f"libvirt tells that {subject.vm.name} was {', '.join(expected) or 'never suspended'}"
        yield subject.wrong(claim, f"it tells: {', '.join(seen) or 'nothing'}")


def _settled(look: Callable[[], list[str]], fits: Callable[[list[str]], bool]) -> list[str] | None:
    """What is told if that does not fit after a while; None as soon as it does."""
    told = settled(look, fits, LATE)
    return None if fits(told) else told


def _turns(events: Sequence[Event]) -> Iterator[Event]:
    """Those of each QEMU, from its start to its end, but for its first "resumed", and the pause that it is saved in."""
    of_one: list[Event] = []
    for event in (event for event in events if event.kind is EventKind.LIFECYCLE):
        if event.status in _TURNS:
            of_one.append(event)
        elif event.status in ("stopped", "crashed"):
            saved = event.status == "stopped" and event.reason == _SAVED
            yield from of_one[1 : -1 if saved else None]
            of_one = []
    yield from of_one[1:]


EVENT_CHECKS: tuple[Check, ...] = (
    Check("events in order", "O7: one READY at most, before the one end of a job", "disk", DEFINED, events_in_order),
    Check(
        "events alike", "O7: both kinds of event tell the same, of disks that there are", "vm", DEFINED, events_alike
    ),
    Check("ends of jobs", "O7: one end is told of each job, and of no other", "disk", DEFINED, ends_of_jobs),
    Check("pauses", "O7: no pause and no resumption is told that nobody asked for", "vm", DEFINED, turns_asked_for),
)
