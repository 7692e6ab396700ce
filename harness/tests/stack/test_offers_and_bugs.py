from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.stack.offers import OFFERS, NotOffered, require, require_upgrade
from harness.stack.stack import Stack
from harness.stack.version import Version
from harness.verdict.known_bug import KnownBug
from harness.verdict.known_bugs import KNOWN_BUGS, known_bugs, repeated_for

STACK = Stack("dir:x", Path("/x"), {}, Version("9.0.0", "9.0.0-4+deb12u2"), Version("7.2.22"), "")
BUG = KnownBug(
    "test_thing", "chain", "too long", "libvirt", "8.0.0", "9.1.0", "https://example.org/1", "It breaks.", "8.1"
)


def test_what_a_release_does_not_offer_is_said_with_the_version_that_does() -> None:
    require(STACK, "external-snapshot-delete")
    older = replace(STACK, libvirt_version=Version("7.0.0"))

    with pytest.raises(NotOffered, match=r"external-snapshot-delete is not offered by dir:x: libvirt 7.*since 9.0.0"):
        require(older, "external-snapshot-delete")


def test_a_newer_qemu_may_need_a_newer_libvirt() -> None:
    require(STACK, "restore")
    newer = replace(STACK, libvirt_version=Version("11.3.0"), qemu_version=Version("11.1.3"))

    with pytest.raises(NotOffered, match=r"libvirt has it with QEMU from 11\.0\.0 on since 12\.8\.0"):
        require(newer, "restore")
    require(replace(newer, libvirt_version=Version("12.8.0")), "restore")


def test_a_capability_that_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no capability is called flying"):
        require(STACK, "flying")
    assert all(offer.source for offer in OFFERS.values())


@pytest.mark.parametrize(
    ("newer", "said"),
    [
        (Version("9.0.0", "9.0.0-4+deb12u2"), "no upgrade: both are libvirt 9.0.0"),
        (Version("9.0.0", "9.0.0-4~bpo1"), "libvirt 9.0.0 .* is older"),
        (Version("8.9.9"), "libvirt 8.9.9 is older"),
    ],
)
def test_what_is_no_upgrade_is_not_offered(newer: Version, said: str) -> None:
    with pytest.raises(NotOffered, match=said):
        require_upgrade(replace(STACK, newer=replace(STACK, libvirt_version=newer)))


def test_an_upgrade_to_a_libvirt_that_is_newer_or_built_anew_is_offered() -> None:
    require_upgrade(STACK)
    for newer in (Version("9.0.0", "9.0.0-4+deb12u3"), Version("9.0.0"), Version("12.8.0")):
        require_upgrade(replace(STACK, newer=replace(STACK, libvirt_version=newer)))


def test_an_upgrade_to_a_libvirt_that_drives_no_such_old_qemu_is_not_offered() -> None:
    old = replace(STACK, qemu_version=Version("7.1.0"))

    require_upgrade(replace(old, newer=replace(STACK, libvirt_version=Version("12.3.0"))))
    with pytest.raises(NotOffered, match=r"libvirt 12\.4\.0 drives QEMU from 7\.2\.0 on, not 7\.1\.0"):
        require_upgrade(replace(old, newer=replace(STACK, libvirt_version=Version("12.4.0"))))


def test_an_upgrade_has_the_bugs_of_both() -> None:
    fixed = replace(STACK, libvirt_version=Version("9.1.0"))

    assert known_bugs("test_thing", replace(STACK, newer=fixed), (BUG,)) == [BUG]
    assert known_bugs("test_thing", replace(fixed, newer=STACK), (BUG,)) == [BUG]
    assert known_bugs("test_thing", replace(fixed, newer=fixed), (BUG,)) == []


def test_a_bug_is_bound_to_versions() -> None:
    table = (BUG,)

    assert known_bugs("scenarios/x.py::test_thing[sn1]", STACK, table) == [BUG]
    assert known_bugs("scenarios/x.py::test_other", STACK, table) == []
    for fine in ("7.9.9", "9.1.0", "unknown"):
        assert known_bugs("test_thing", replace(STACK, libvirt_version=Version(fine)), table) == []


def test_a_package_that_has_the_fix_is_not_affected() -> None:
    table = (replace(BUG, fixed_packages=(("9.0.0-4+deb12u2", "9.0.0-5"),)),)

    assert known_bugs("test_thing", STACK, table) == []
    unfixed = replace(STACK, libvirt_version=Version("9.0.0", "9.0.0-4+deb12u1"))
    assert known_bugs("test_thing", unfixed, table) == list(table)
    assert known_bugs("test_thing", replace(STACK, libvirt_version=Version("9.0.0")), table) == list(table)


def test_a_package_after_those_that_have_the_fix_is_affected() -> None:
    ends = replace(BUG, fixed_packages=(("9.0.0-3", "9.0.0-4"), ("9.0.0-4+deb12u1", "9.0.0-4+deb12u2")))

    assert ends.affects(STACK)
    assert not replace(ends, fixed_packages=(*ends.fixed_packages, ("9.0.0-4+deb12u2", "9.0.0-5"))).affects(STACK)


def test_a_bug_of_qemu_is_bound_to_its_versions_and_one_that_is_not_fixed_to_all_from_its_first() -> None:
    bug = replace(BUG, component="QEMU", since="7.2.22", fixed="7.2.23")

    assert bug.affects(STACK)
    assert not bug.affects(replace(STACK, qemu_version=Version("7.2.23")))
    assert replace(bug, fixed=None).affects(replace(STACK, qemu_version=Version("99.0.0")))
    assert not replace(bug, fixed=None).affects(replace(STACK, qemu_version=Version("7.2.21")))


def test_a_scenario_is_repeated_for_a_bug_that_shows_only_sometimes_where_it_says_so() -> None:
    table = (BUG, replace(BUG, scenario="", sometimes=r"test_thing\["))

    assert repeated_for("scenarios/x.py::test_thing[sn1]", table) == [table[1]]
    assert repeated_for("scenarios/x.py::test_other", table) == []


@pytest.mark.parametrize("bug", KNOWN_BUGS, ids=lambda bug: bug.sentence)
def test_the_table_says_what_was_measured(bug: KnownBug) -> None:
    for pattern in (bug.scenario, bug.shows, bug.sometimes):
        re.compile(pattern)  # here a warning is an error
    assert "shows on" in bug.measured
    assert bug.url or "no reference" in bug.measured
