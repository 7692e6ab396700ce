from __future__ import annotations

import pytest

from harness.stack.version import Version, compare


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("9.0.0-4", "9.0.0-4+deb12u2"),
        ("11.3.0-2~bpo12+1", "11.3.0-2"),
        ("11.3.0-2~bpo12+1", "11.3.0-3+deb13u3"),
        ("1:7.2+dfsg-7+deb12u9", "1:7.2+dfsg-7+deb12u18"),
        ("1:5.2+dfsg-11", "1:10.0.13+ds-0+deb13u1"),
        ("9.0.0", "1:0.1"),
        ("9.9.0", "10.0.0"),
        ("1.0~rc1", "1.0"),
        ("1.0", "1.0a"),
        ("1.0a", "1.0+b"),
    ],
)
def test_the_newer_version_is_known(older: str, newer: str) -> None:
    assert compare(older, newer) == -1
    assert compare(newer, older) == 1
    assert compare(newer, newer) == 0


def test_a_version_that_is_not_known_has_nothing() -> None:
    assert not Version("unknown").is_at_least("0.1")
    assert Version("9.0.0").is_at_least("9.0.0")
