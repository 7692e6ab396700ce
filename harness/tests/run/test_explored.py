"""What is told of an exploration: sums over workers, by stack, against all that could be explored."""

from __future__ import annotations

from harness.explore.coverage import Coverage
from harness.explore.program import Program
from harness.explore.universe import Universe
from harness.run import properties
from harness.run.explored import EXPLORED, KNOWN, ExploredReport, plan
from harness.tests.run.reports import Lines, report


def test_what_workers_explored_is_summed_up_by_stack() -> None:
    told, lines = ExploredReport(1), Lines()
    for number, acts in enumerate(plan(1).sequences[:3]):
        coverage = Coverage(states=100, state_seconds=0.1)
        coverage.add(Program(Universe(), acts), 1, 2.0)
        done = report(nodeid=f"scenarios/explore/test_sequences.py::test_x[{number}]")
        done.user_properties = [(properties.STACK, "host"), (EXPLORED, coverage.as_json()), (KNOWN, "A bug.")]
        told.pytest_runtest_logreport(done)

    told.pytest_terminal_summary(lines)  # type: ignore[arg-type]

    every = len(plan(1).sequences)
    assert lines.lines == [
        "explored",
        "host: sequences: 3 programs, 3 verified steps, 0.5 a second of a worker's time; 300 states after a power loss,"
        f" 1000 a second, of {every} sequences; 3 of {every} transitions",
        "host: 3 times A bug.",
    ]
