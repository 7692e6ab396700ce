"""An explorer whose guest loses a kind of request, or whose oracle is wrong, finds it, and makes it short."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.acts.calls import Call, Guest
from harness.acts.guest import Flush, Write, Zero
from harness.acts.snapshot import Snapshot
from harness.detect.lies import LyingHand
from harness.explore.explorer import Explorer
from harness.explore.program import Program, read_program
from harness.explore.universe import Universe
from harness.explore.walk import Walks
from harness.trial.ground import Daemons, Ground, Platform
from harness.trial.trial import Trial
from harness.vm.domain_xml import Machine

pytestmark = pytest.mark.sabotaged


@dataclass(frozen=True)
class Losing(Platform):
    """A platform whose guests lose each request of one `verb`, and say that it was done."""

    verb: str = ""

    def trial(self, *arguments: object, warm: bool = True, machine: Machine | None = None) -> Trial:
        """A trial in which it is lost."""
        trial = super().trial(*arguments, warm=warm, machine=machine)  # type: ignore[arg-type]
        hand = trial.stage.hands["binding"]

        def instead(call: Call) -> None:
            if not (isinstance(call, Guest) and call.verb == self.verb):
                hand.perform(call)

        trial.stage.hands["binding"] = LyingHand(instead)
        return trial


@pytest.fixture
def losing(ground: Ground, platform: Platform, daemons: Daemons, tmp_path: Path) -> Explorer:
    return Explorer(Losing(ground, platform.stack, "zero"), daemons, tmp_path, power_loss=False)


def test_a_lost_request_is_found_at_once_and_leaves_what_does_it_again(losing: Explorer) -> None:
    """Zeros over cell 1 that are not written."""
    program = Program(Universe(), (Write("vda", "W1", (1,)), Snapshot("vda", "n1"), Zero("vda", (1,)), Flush("vda")))

    outcome = losing.run(program, keep="lost")

    assert (outcome.is_red, outcome.done) == (True, 2)
    assert "guest shows: cell 1 should be zero, is W1" in outcome.findings[0].difference
    assert outcome.evidence is not None
    kept = (outcome.evidence / "program.json").read_text()
    assert read_program(json.loads(kept)).acts == program.acts[:3]
    assert "Zero('vda', cells=(1,))" in (outcome.evidence / "test_found.py").read_text().replace("disk=", "")


def test_a_walk_finds_it_and_makes_it_short(losing: Explorer) -> None:
    walks = Walks(losing, seed=3, shrink_seconds=40)

    found = walks.go(lambda: bool(walks.found.red), length=25)

    (red,) = found.red.values()
    assert [type(act) for act in red.program.acts] == [Zero]
    assert red.evidence is not None


def test_what_is_not_flushed_is_missed_by_a_look_that_flushes_and_found_after_a_kill_or_a_power_loss(
    ground: Ground, platform: Platform, daemons: Daemons, tmp_path: Path
) -> None:
    """A flush that the guest asks for and that never reaches QEMU."""

    @dataclass(frozen=True)
    class Unflushing(Platform):
        def trial(self, *arguments: object, warm: bool = True, machine: Machine | None = None) -> Trial:
            trial = super().trial(*arguments, warm=warm, machine=machine)  # type: ignore[arg-type]
            hand = trial.stage.hands["binding"]

            def instead(call: Call) -> None:
                if isinstance(call, Guest) and call.verb == "write":
                    call = Guest(call.vm, call.verb, call.disk, call.ranges, call.label, False, call.cell_size)
                hand.perform(call)

            trial.stage.hands["binding"] = LyingHand(instead)
            return trial

    unflushing = Unflushing(ground, platform.stack)
    explorer = Explorer(unflushing, daemons, tmp_path, power_loss=False)
    acts = (Snapshot("vda", "n1"), Write("vda", "W1", (1,)))

    assert not explorer.run(Program(Universe(), acts)).findings
    killed = explorer.run(Program(Universe(), acts, killed=True))
    lost = Explorer(unflushing, daemons, tmp_path).run(Program(Universe(), acts))

    assert "n1 contains: cell 1 should be W1, is a hole" in killed.findings[0].difference
    assert {finding.check for finding in lost.findings} == {"power loss"}
