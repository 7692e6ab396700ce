"""Lies between the harness and what it works with: acts done otherwise, answers and events that are not true."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from harness.acts.act import Act
from harness.acts.calls import Call
from harness.stack.events import Event, EventHub, EventKind
from harness.trial.trial import Trial
from harness.waiting import now

LIAR = "liar"
Hear = Callable[[Event], list[Event]]
"""What is heard of an event that was sent."""


class LyingHand:
    """A hand that does something else, or nothing, and reports success, as a broken release does; it counts that."""

    name = LIAR

    def __init__(self, instead: Callable[[Call], object] = lambda _: None) -> None:
        self.instead = instead
        self.lies = 0

    def perform(self, call: Call) -> None:
        """Do what it does instead."""
        self.lies += 1
        self.instead(call)


def liar(trial: Trial) -> LyingHand:
    """The liar among a trial's hands."""
    hand = trial.stage.hands.setdefault(LIAR, LyingHand())
    assert isinstance(hand, LyingHand)
    return hand


def pretend(trial: Trial, *acts: Act, instead: Callable[[], object] = lambda: None) -> None:
    """Have acts done by a liar: the oracle believes them, and what happens is `instead`."""
    liar(trial).instead = lambda _: instead()
    trial.do(*acts, by=LIAR)


def do_unseen(trial: Trial, act: Act) -> None:
    """Do an act that the oracle does not learn of."""
    trial.stage.hands[trial.stage.by].perform(act.call(trial.state))


def abort_the_job(trial: Trial) -> None:
    """Abort the job of vda behind the oracle's back."""
    domain = trial.vm().domain
    since = domain.daemon.events.mark()
    domain.call("the abort", lambda handle: handle.blockJobAbort("vda", 0))
    trial.things.jobs.await_event(domain, "vda", "canceled", since)


def read_wrong(data: bytes) -> bytes:
    """What a guest would read whose device loses its first sector."""
    return bytes(512) + data[512:]


class Ear(list[Event]):
    """A list of events that hears of each what `hear` makes of it, and counts those that it mishears."""

    def __init__(self, events: list[Event], hear: Hear) -> None:
        super().__init__(events)
        self._hear = hear
        self.misheard = 0

    def append(self, event: Event) -> None:
        """Add what is heard of it."""
        heard = self._hear(event)
        self.misheard += heard != [event]
        self.extend(heard)


@contextmanager
def hearing(trial: Trial, hear: Hear) -> Iterator[Ear]:
    """For the body, `hear` says what is heard of each event that libvirt sends."""
    hub: EventHub = trial.daemon.events
    hub.events = ear = Ear(hub.events, hear)
    try:
        yield ear
    finally:
        hub.events = list(hub.events)


def of_jobs(status: str) -> Callable[[Event], bool]:
    """Whether an event is one that a job has this status."""
    return lambda event: event.kind in (EventKind.BLOCK_JOB, EventKind.BLOCK_JOB_2) and event.status == status


def later(trial: Trial, event: Event, seconds: float) -> None:
    """Have an event heard of so long after it was sent."""
    events = trial.daemon.events.events  # of this trial: the next one's are in another list
    timer = threading.Timer(seconds, lambda: list.append(events, replace(event, at=now())))
    timer.daemon = True
    timer.start()


@contextmanager
def swapped(thing: object, name: str, other: object) -> Iterator[None]:
    """For the body, `other` is in the place of what this one thing, or module, has under a name."""
    own = vars(thing)
    is_own, former = name in own, own.get(name)
    setattr(thing, name, other)
    try:
        yield
    finally:
        if is_own:
            setattr(thing, name, former)
        else:  # a method: its class has it
            delattr(thing, name)
