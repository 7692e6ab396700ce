"""The stage: the one place where acts happen, and where what must be true moves with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol

import libvirt

from harness.acts.act import Act
from harness.acts.calls import Await, Guest, Libvirt
from harness.acts.faces import features
from harness.errors import ChainproofError, CheckFailed
from harness.journal import Entry, Journal, Kind
from harness.oracle.state import State
from harness.vm.hands import Hand
from harness.waiting import settled

SETTLES = 5.0
"""Seconds after which a daemon knows what has become of what it was killed in."""
Refusal = (ChainproofError, libvirt.libvirtError)
"""What a hand raises where a call was refused, or failed."""


class Outcome(StrEnum):
    """What became of an act that may fail: it happened, it did not, or nobody can know."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Listener(Protocol):
    """Is told of every act: before it is done, with what it means, and after it, with what is true then."""

    def began(self, act: Act, before: State, meant: State) -> None:
        """It is about to be done."""

    def ended(self, act: Act, after: State) -> None:
        """It has been done; `after` is the state before it if it was not."""


class Stage:
    """Performs acts by one of `hands` (by name; the first one unless another is named), and keeps the `state`.

    `look` says what can be seen of a state, and of what is there now, as values to compare: for acts under a fault.
    """

    def __init__(self, journal: Journal, hands: dict[str, Hand], look: Look) -> None:
        self.journal = journal
        self.hands = hands
        self.by = next(iter(hands))
        self.state = State()
        self.listeners: list[Listener] = []
        self._look = look

    def do(self, *acts: Act, by: str = "") -> None:
        """Perform acts in turn: ask the oracle what will be true, enter the act, do it, complete the entry.

        Raises Impossible, with nothing done, if an act cannot be done in this state; else what the hand raises, with
        the state as it was before the act.
        """
        for act in acts:
            after = act.after(self.state)
            with self._told(act, after):
                self.state = act.learned(after, self._perform(act, by))

    def refused(self, act: Act, text: str, *, by: str = "") -> None:
        """Perform an act that must be refused with words that match the regex `text`; the state stays what it is.

        The daemon may log the refusal. Raises CheckFailed if it is done, or refused with other words.
        """
        claim = f"{act!r} is refused with {text!r}"
        try:
            with self._told(act, self.state):
                self._perform(act, by)
        except Refusal as error:
            if not re.search(text, str(error)):
                raise CheckFailed(claim, f"it is refused with: {error}") from error
            self.state = act.refused(self.state).with_noise(text)
            return
        raise CheckFailed(claim, "it is done")

    def attempt(self, act: Act, *, by: str = "", recovery: Sequence[Act] = ()) -> Outcome:
        """Perform an act that may fail; what became of it is settled by looking, and the state moves accordingly.

        If it fails, the acts of the `recovery` come before the look.

        Where looking cannot tell, what the act would have changed is undefined. Raises CheckFailed if what is seen is
        neither what was before nor what the act means.
        """
        before, after = self.state, act.after(self.state)
        with self._told(act, after):
            try:
                self._perform(act, by)
            except Refusal as error:
                after = after.hardly_heard(before)
                for each in recovery:
                    self.do(each)
                    before, after = self.state, each.after(after)
                outcome = self._settled(act, before, after, error, late=bool(recovery))
                self.state = {Outcome.DONE: after, Outcome.REFUSED: before}.get(outcome) or before.either(after)
                return outcome
            self.state = after
            return Outcome.DONE

    def ask(self, call: Libvirt, *, by: str = "") -> object:
        """What libvirt answers to a call that changes nothing; it is entered. Raises what the hand raises."""
        words = ", ".join(str(value) for value in (*call.args.values(), *call.flags))
        entry = self.journal.begin(Kind.CHECK, f"{call.function}({words})", by=by or self.by, uses=features(call))
        try:
            answer = self.hands[by or self.by].perform(call)
        except Refusal as error:
            self.journal.complete(entry, f"{type(error).__name__}: {error}")
            raise
        self.journal.complete(entry, detail={"answer": str(answer)})
        return answer

    @contextmanager
    def entered(self, kind: Kind, text: str, act: Act, by: str) -> Iterator[Entry]:
        """Do the body as `act`, which is performed otherwise than by a hand: a line that was typed."""
        after = act.after(self.state)
        with self._told(act, after):
            with self._entry(kind, text, act, by) as entry:
                yield entry
            self.state = after

    @contextmanager
    def _told(self, act: Act, meant: State) -> Iterator[None]:
        """Tell the listeners of the body, which does `act`."""
        for listener in self.listeners:
            listener.began(act, self.state, meant)
        try:
            yield
        finally:
            for listener in self.listeners:
                listener.ended(act, self.state)

    def _perform(self, act: Act, by: str) -> object:
        hand = self.hands[by or self.by]
        call = act.call(self.state)
        waits = isinstance(call, Await) and call.status != "written"
        kind = Kind.GUEST if isinstance(call, Guest | Await) and not waits else Kind.EVENT if waits else Kind.ACT
        with self._entry(kind, str(act), act, hand.name):
            return hand.perform(call)

    @contextmanager
    def _entry(self, kind: Kind, text: str, act: Act, by: str) -> Iterator[Entry]:
        entry = self.journal.begin(kind, text, act=act.data(), by=by, uses=features(act.call(self.state)))
        try:
            yield entry
        except BaseException as error:
            self.journal.complete(entry, f"{type(error).__name__}: {error}")
            raise
        self.journal.complete(entry)

    def _seen(self, *expected: Sighting) -> Sighting:
        """What is seen once it is as `expected`, or after a while: a daemon that comes back takes up what has ended."""
        return settled(lambda: self._look(None), lambda seen: seen in expected, SETTLES)

    def _settled(self, act: Act, before: State, after: State, error: Exception, *, late: bool) -> Outcome:
        was, would_be = self._look(before), self._look(after)
        seen = self._seen(was, would_be) if late else self._look(None)
        if was == would_be:
            outcome = Outcome.UNKNOWN
        elif seen in (was, would_be):
            outcome = Outcome.DONE if seen == would_be else Outcome.REFUSED
        else:
            claim = f"{act!r} has happened or has not"
            raise CheckFailed(claim, f"neither, after: {error}", f"before {was}\nmeant  {would_be}\nseen   {seen}")
        self.journal.record(Kind.NOTE, f"{act} failed, and by looking is {outcome}: {error}")
        return outcome


Sighting = Mapping[str, str]
"""What can be seen from outside, by what it is about."""

Look = Callable[[State | None], Sighting]
"""What is to be seen of a state; of None: what is seen."""
