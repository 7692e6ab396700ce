"""Plans: every sequence once, each transition early; and what makes two transitions one."""

from __future__ import annotations

from harness.acts.chain import ActiveCommit, AwaitReady
from harness.acts.guest import Write
from harness.acts.snapshot import Snapshot
from harness.explore.abstract import abstract, kind_of, transition
from harness.explore.plan import planned
from harness.explore.universe import Universe, possible, started

START = started(Universe())


def test_every_sequence_is_there_once() -> None:
    acts = possible(START, 1)
    plan = planned(START, 2, possible)

    expected = {(one, other) for one in acts for other in possible(one.after(START), 2)}
    assert len(plan.sequences) == len(expected)
    assert set(map(repr, plan.sequences)) == set(map(repr, expected))


def test_the_first_sequences_go_through_every_transition() -> None:
    plan = planned(START, 2, possible)

    crossed = set()
    for acts in plan.sequences[: plan.covering]:
        state = START
        for act in acts:
            crossed.add(transition(state, act))
            state = act.after(state)
    assert crossed == plan.transitions
    assert plan.covering < len(plan.sequences)


def test_labels_and_names_do_not_make_a_transition_another_one() -> None:
    one = Snapshot("vda", "n1").after(START)
    other = Snapshot("vda", "n7").after(START)

    assert abstract(one) == abstract(other)
    assert transition(one, Write("vda", "W1", (1,))) == transition(other, Write("vda", "W2", (1,)))
    assert transition(one, ActiveCommit("vda", "sn1")) == transition(other, ActiveCommit("vda", "sn1"))
    assert transition(START, Snapshot("vda", "n1")) == transition(START, Snapshot("vda", "n7"))


def test_places_phases_and_what_is_not_flushed_do() -> None:
    running = ActiveCommit("vda", "base").after(START)

    assert transition(START, Write("vda", "W1", (1,))) != transition(START, Write("vda", "W1", (2,)))
    assert transition(START, ActiveCommit("vda", "sn1")) != transition(START, ActiveCommit("vda", "base"))
    assert abstract(running) != abstract(AwaitReady("vda").after(running))
    flushed, not_flushed = (Write("vda", "W1", (1,), flush=flush).after(START) for flush in (True, False))
    assert abstract(flushed) != abstract(not_flushed)


def test_the_kind_of_an_act_leaves_out_what_it_is_done_to() -> None:
    assert kind_of(Write("vda", "W1", (1,))) == kind_of(Write("vdb", "W2", (3,))) == "Write"
    assert kind_of(Write("vda", "W1", (1,), flush=False)) == "Write unflushed"
    assert kind_of(Snapshot("vda", "n1", reuse=True)) == "Snapshot reuse"
