"""The stage: the oracle is asked first, the journal knows before it is done, and the state moves only after it is."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from harness.acts.act import Act
from harness.acts.calls import Call
from harness.acts.chain import ActiveCommit, AwaitReady, Pivot
from harness.acts.faults import KillDaemon, StartDaemon
from harness.acts.guest import Write
from harness.acts.images import CreateImage
from harness.acts.power import Define, Start
from harness.acts.snapshot import Snapshot
from harness.errors import ChainproofError, CheckFailed
from harness.journal import DONE, UNDER_WAY, Journal, Kind
from harness.oracle.content import Impossible
from harness.oracle.parts import HOLE, UNDEFINED
from harness.oracle.state import State
from harness.trial import looking
from harness.trial.stage import Outcome, Sighting, Stage


class Refused(ChainproofError):
    """What libvirt says no with, here."""


@dataclass
class Recorder:
    """A hand that performs nothing but keeps the calls, until it is to fail; it sees the journal meanwhile."""

    journal: Journal
    name: str = "recorder"
    fails: str = ""
    fails_once: str = ""
    calls: list[Call] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)

    def perform(self, call: Call) -> None:
        self.outcomes.append(self.journal.entries[-1].outcome)
        fails, self.fails_once = self.fails or self.fails_once, ""
        if fails:
            raise Refused(fails)
        self.calls.append(call)


class Play:
    """A stage with a recorder, on which a VM with base <- sn1 runs; `seen` is what looking sees."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.hand = Recorder(self.journal)
        self.seen: State | None = None
        self.stage = Stage(self.journal, {"recorder": self.hand}, self.look)
        self.stage.do(CreateImage("base"), Define(), Start(), Write("vda", "A", (0, 1)), Snapshot("vda", "sn1"))

    def look(self, state: State | None) -> Sighting:
        return looking.expected(state or self.seen or self.stage.state)


@pytest.fixture
def play() -> Play:
    return Play()


def test_an_act_is_entered_before_it_is_done_and_completed_after_it(play: Play) -> None:
    assert play.hand.outcomes == [UNDER_WAY] * 5
    assert [entry.outcome for entry in play.journal.entries] == [DONE] * 5
    assert [entry.kind for entry in play.journal.entries][-2:] == [Kind.GUEST, Kind.ACT]
    assert play.journal.entries[-1].act == {"act": "Snapshot", "disk": "vda", "overlay": "sn1"}
    assert play.journal.entries[-1].by == "recorder"


def test_what_cannot_be_is_not_done(play: Play) -> None:
    entries = len(play.journal.entries)

    with pytest.raises(Impossible, match="there is no job"):
        play.stage.do(Pivot("vda"))

    assert len(play.journal.entries) == entries


def test_what_fails_moves_nothing_and_the_journal_has_the_reason(play: Play) -> None:
    before = play.stage.state
    play.hand.fails = "no space left"

    with pytest.raises(Refused):
        play.stage.do(Snapshot("vda", "sn2"))

    assert play.stage.state is before
    assert play.journal.entries[-1].outcome == "Refused: no space left"


def test_a_refusal_is_as_it_was_foretold(play: Play) -> None:
    play.hand.fails = "no such job"
    play.stage.refused(Pivot("vda"), "no such job")

    with pytest.raises(CheckFailed, match="it is refused with: no such job"):
        play.stage.refused(Pivot("vda"), "busy")
    play.hand.fails = ""
    with pytest.raises(CheckFailed, match="it is done"):
        play.stage.refused(Pivot("vda"), "no such job")


@pytest.mark.parametrize(("happened", "outcome"), [(True, Outcome.DONE), (False, Outcome.REFUSED)])
def test_what_became_of_an_attempt_is_settled_by_looking(play: Play, happened: bool, outcome: Outcome) -> None:
    act, before = Snapshot("vda", "sn2"), play.stage.state
    play.hand.fails, after = "the connection is gone", act.after(before)
    play.seen = after if happened else before

    assert play.stage.attempt(act) is outcome
    assert play.stage.state == (after if happened else before)


@pytest.mark.parametrize(("happened", "outcome"), [(True, Outcome.DONE), (False, Outcome.REFUSED)])
def test_an_attempt_in_which_the_daemon_died_is_settled_by_the_next_one(
    play: Play, happened: bool, outcome: Outcome
) -> None:
    act = Pivot("vda")
    play.stage.do(ActiveCommit("vda", "base"), AwaitReady("vda"))
    recovery = KillDaemon(), StartDaemon()
    play.seen = act.after(play.stage.state) if happened else play.stage.state
    play.hand.fails_once = "the connection is gone"

    assert play.stage.attempt(act, recovery=recovery) is outcome

    content = play.stage.state.disk("vm1", "vda")
    assert play.stage.state.daemons == 2
    assert (content.job is None) == happened
    assert not any(end.certain for end in content.ends)  # nobody may have heard of it


def test_a_write_of_which_nobody_knows_leaves_its_bytes_undefined(play: Play) -> None:
    play.hand.fails = "the connection is gone"

    assert play.stage.attempt(Write("vda", "B", (1, 2))) is Outcome.UNKNOWN

    own = play.stage.state.disk("vm1", "vda").contains("sn1")
    assert own[:48] == (HOLE,) * 16 + (UNDEFINED,) * 32


def test_what_is_neither_before_nor_after_is_a_finding(play: Play) -> None:
    play.hand.fails = "the connection is gone"
    play.seen = Snapshot("vda", "another").after(play.stage.state)

    with pytest.raises(CheckFailed, match="neither, after: the connection is gone"):
        play.stage.attempt(Snapshot("vda", "sn2"))


def test_an_attempt_that_succeeds_is_done(play: Play) -> None:
    acts: tuple[Act, ...] = (ActiveCommit("vda", "base"), AwaitReady("vda"), Pivot("vda"))

    assert [play.stage.attempt(act) for act in acts] == [Outcome.DONE] * 3
    assert play.stage.state.disk("vm1", "vda").chain() == ("base",)
