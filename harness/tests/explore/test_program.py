"""Programs: as data and back, as a scenario that can be run, made shorter, and counted."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.acts.chain import ActiveCommit, AwaitReady, Pivot
from harness.acts.guest import Write, Zero
from harness.acts.images import CreateImage, served
from harness.acts.snapshot import Snapshot
from harness.explore.coverage import Coverage, summed
from harness.explore.explorer import Outcome
from harness.explore.program import Program, read_program
from harness.explore.shrinking import is_possible, shorter, shortest
from harness.explore.step import COSTLY, WHEN_IDLE
from harness.explore.universe import Universe
from harness.oracle.driver import Driver
from harness.oracle.image import Qcow2, Raw
from harness.run.exploring import SAVED, shard
from harness.verdict.checks import CHECKS
from harness.verdict.finding import Finding

PROGRAM = Program(
    Universe(tail=512, format=Qcow2(cluster_size=4096), driver=Driver(iothread=True)),
    (
        Write("vda", "W1", (1,)),
        Snapshot("vda", "n1"),
        ActiveCommit("vda", "base"),
        AwaitReady("vda"),
        Zero("vda", (2,)),
        Pivot("vda"),
    ),
    killed=True,
)


def test_a_program_is_read_back_from_its_data() -> None:
    assert read_program(json.loads(PROGRAM.as_json())) == PROGRAM


@pytest.mark.parametrize(
    "data", [{}, {"acts": 1}, {"acts": [], "universe": {"cellars": 1}}, {"acts": [{}], "universe": {}}]
)
def test_what_is_no_program_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        read_program(data)


@pytest.mark.parametrize("claim", ["nothing is lost", 'it says: "what" \\ """'])
def test_its_scenario_compiles_and_does_each_act_in_order(claim: str) -> None:
    program = replace(PROGRAM, acts=(*PROGRAM.acts, CreateImage("far", format=Raw(), store=served("far"))))
    text = program.as_scenario(claim)

    names: dict[str, object] = {}
    tree = ast.parse(text)
    imports = ast.Module([node for node in tree.body if isinstance(node, ast.ImportFrom)], [])
    exec(compile(imports, "imports", "exec"), names)
    (call,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "do"
    ]
    acts = tuple(eval(ast.unparse(argument), names) for argument in call.args)
    assert acts == (*program.universe.set_up(), *program.acts)


def test_in_words_it_names_the_chains_and_each_act() -> None:
    words = str(PROGRAM)

    assert words.startswith("vda: base <- sn1 <- sn2; vdb: data <- top")
    assert "\n2. vda goes on in n1\n" in words
    assert words.endswith("QEMU is killed, and all is looked at")


def test_shorter_programs_are_possible_ones() -> None:
    found = list(shorter(PROGRAM, 1))

    assert {len(program.acts) for program in found} == {5}
    assert all(map(is_possible, found))
    assert PROGRAM.acts[:2] + PROGRAM.acts[3:] not in {program.acts for program in found}  # a READY without a job


def test_a_program_is_made_as_short_as_it_can_be() -> None:
    """The culprit is the zero that is written while the job is ready."""

    def run(program: Program) -> Outcome:
        guilty = Zero("vda", (2,)) in program.acts and AwaitReady("vda") in program.acts
        findings = (Finding("content", "vda", "it holds", "it does not"),) if guilty else ()
        done = program.acts.index(Zero("vda", (2,))) if guilty else len(program.acts)
        return Outcome(Program(program.universe, program.acts[: done + 1], program.killed), done, 0.1, findings)

    best = shortest(run(PROGRAM), run, deadline=1e12)

    assert best.program.acts == (ActiveCommit("vda", "base"), AwaitReady("vda"), Zero("vda", (2,)))


def test_when_there_is_no_time_the_best_so_far_stands() -> None:
    outcome = Outcome(PROGRAM, 6, 0.1, (Finding("content", "vda", "it holds", "it does not"),))

    assert shortest(outcome, lambda program: Outcome(program, 0, 0.1), deadline=0) == outcome


def test_what_was_covered_adds_up() -> None:
    one, other = Coverage(), Coverage()
    one.add(PROGRAM, 6, 2.0)
    other.add(PROGRAM, 2, 1.0)

    total = summed([one.as_json(), other.as_json()])

    assert (total.programs, total.steps, total.seconds) == (2, 8, 3.0)
    assert total.acts["Write"] == 2
    assert total.pairs["Write > Snapshot"] == 2
    assert len(total.transitions) == 6


def test_two_findings_of_one_kind_have_one_signature() -> None:
    def signature(claim: str) -> str:
        return Outcome(PROGRAM, 5, 0.1, (Finding("content", "vda", claim, "otherwise"),)).signature

    assert signature("n1 holds 12 bytes after Zero(disk='vda')") == signature(
        "sn2 holds 4 bytes after Zero(disk='vdb')"
    )
    assert signature("n1 holds 12 bytes") != signature("n1 shows 12 bytes")


def test_the_checks_that_are_left_out_of_steps_exist() -> None:
    assert {check.name for check in CHECKS} >= COSTLY | WHEN_IDLE
    assert COSTLY.isdisjoint(WHEN_IDLE)


@pytest.mark.parametrize("text", ["0/2", "3/2", "x", "1/0", "1"])
def test_a_part_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        shard(text)


def test_a_part_of_the_whole() -> None:
    assert shard("2/3") == (2, 3)


@pytest.mark.parametrize("file", sorted(SAVED.glob("*.json")), ids=lambda file: file.stem)
def test_each_saved_program_can_be_done(file: Path) -> None:
    assert is_possible(read_program(json.loads(file.read_text())))
