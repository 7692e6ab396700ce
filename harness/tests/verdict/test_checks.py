"""Each universal check has a name of its own. That each is seen to fail, detect/test_saboteurs.py holds."""

from __future__ import annotations

from harness.verdict.checks import CHECKS


def test_no_two_checks_have_one_name_and_each_states_an_invariant() -> None:
    names = [check.name for check in CHECKS]

    assert len(set(names)) == len(names)
    assert all(check.invariant.startswith("O") for check in CHECKS)
