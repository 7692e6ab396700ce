"""Rows of the full tier are left out, said so, and run by the tier or by their names."""

from __future__ import annotations

from functools import cache

from harness.tests.run.test_command import collected

GEOMETRY = "scenarios/geometry/test_geometry.py"


@cache
def ids(*arguments: str) -> list[str]:
    done = collected("scenarios", "-n", "0", *arguments)
    assert done.exit_status == 0, done.output
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_rows_of_the_full_tier_are_left_out_and_it_is_said() -> None:
    done = collected("scenarios", "-n", "0", GEOMETRY)
    full = ids("--tier", "full", GEOMETRY)
    rows = [line for line in done.stdout.splitlines() if "::" in line]

    assert 0 < len(rows) < len(full)
    left_out = len(full) - len(rows)
    assert f"chainproof: {left_out} rows of the full tier are left out; --tier full runs them" in done.stdout


def test_what_is_named_runs_whatever_its_tier() -> None:
    story = f"{GEOMETRY}::test_commits_and_copies_keep_every_byte_on_any_geometry"

    assert len(ids(story)) == len([row for row in ids("--tier", "full", GEOMETRY) if row.startswith(story)])
    assert len(ids(f"{story}[clusters of 4 KiB]")) == 1


def test_an_unknown_tier_is_refused() -> None:
    done = collected("scenarios", "-n", "0", "--tier", "half", GEOMETRY)

    assert done.exit_status == 2
    assert "--tier" in done.stderr


def test_each_story_has_a_row_in_the_default_tier() -> None:
    default, full = ids(), ids("--tier", "full")
    stories = [{row.partition("[")[0] for row in rows} for rows in (default, full)]

    assert stories[0] == stories[1]
