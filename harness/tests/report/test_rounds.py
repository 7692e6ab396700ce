from __future__ import annotations

from dataclasses import dataclass, field

from harness.report import rounds
from harness.report.tally import PROPERTY
from harness.report.told import TOLD
from harness.verdict.known_bugs import KnownBug

BUG = KnownBug("test_x", "lost", "QEMU", "1.0", None, "https://example.org/1", "It loses.", "shows on 1", sometimes="x")


@dataclass
class Report:
    when: str | None
    outcome: str = "passed"
    user_properties: list[tuple[str, object]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


@dataclass
class Expected(Report):
    """A failure that a known bug made an expected one."""

    wasxfail: str = f"known bug: {BUG.sentence}"


def one_round(call: Report) -> list[Report]:
    call.user_properties.append((PROPERTY, "restored"))
    return [Report("setup"), call, Report("teardown")]


def test_only_a_round_that_passed_whole_is_repeated() -> None:
    assert not rounds.is_last(one_round(Report("call")))
    assert rounds.is_last(one_round(Expected("call", "skipped")))
    assert rounds.is_last(one_round(Report("call", "failed")))
    assert rounds.is_last([Report("setup"), Report("call"), Report("teardown", "failed")])
    assert rounds.is_last([Report("setup", "failed"), Report("teardown")])


def test_the_last_round_tells_of_all() -> None:
    done = [one_round(Report("call")), one_round(Report("call")), one_round(Expected("call", "skipped"))]
    rounds.told(done, [BUG])

    assert done[-1][1].user_properties == [
        *[(PROPERTY, "restored")] * 3,
        (TOLD, "showed in 1 of 3 rounds: It loses."),
    ]


def test_a_failure_that_is_none_of_the_bugs_is_not_counted_as_it() -> None:
    done = [one_round(Report("call")), one_round(Report("call", "failed"))]
    rounds.told(done, [BUG])

    assert (TOLD, "showed in 0 of 2 rounds: It loses.") in done[-1][1].user_properties
