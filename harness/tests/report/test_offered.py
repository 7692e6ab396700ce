"""What is offered, what was used of it, and what of that counts."""

from __future__ import annotations

from pathlib import Path

import libvirt
import pytest

from harness.acts.chain import ActiveCommit, Copy, SetSpeed
from harness.acts.faces import features
from harness.acts.guest import Flush
from harness.journal import DONE, Entry, Kind
from harness.oracle.state import State
from harness.report.offered import FLAGS, BadReasons, Covered, Used, functions, offered, reasons
from harness.tests.acts.test_acts import running

_TABLE = Entry(0, Kind.TABLE, "measured")


def _done(*uses: str, outcome: str = DONE) -> Entry:
    return Entry(0, Kind.ACT, "", uses=uses, outcome=outcome)


def test_functions_are_those_that_the_binding_calls() -> None:
    known = functions()
    assert {"virDomainBlockCommit", "virDomainSnapshotDelete", "virDomainCheckpointGetParent"} <= known
    assert not {name for name in known if name.endswith("_pointer")}


def test_every_function_whose_flags_are_known_is_there() -> None:
    assert set(FLAGS) <= functions()


def test_every_constant_that_is_a_flag_belongs_to_a_function() -> None:
    families = ("COMMIT", "COPY", "PULL", "REBASE", "JOB_ABORT", "JOB_INFO", "JOB_SPEED", "RESIZE")
    prefixes = [f"VIR_DOMAIN_BLOCK_{family}_" for family in families]
    prefixes += ["VIR_DOMAIN_SNAPSHOT_", "VIR_DOMAIN_CHECKPOINT_", "VIR_DOMAIN_BACKUP_"]
    constants = {name for name in dir(libvirt) if name.startswith(tuple(prefixes))}
    claimed = {name for name in constants for prefix in FLAGS.values() if name.startswith(f"VIR_DOMAIN_{prefix}")}
    assert constants - claimed == set()


def test_typed_parameters_are_offered_by_libvirts_own_names() -> None:
    assert {"virDomainBlockCopy buf-size", "virDomainBlockCopy SHALLOW"} <= offered()


@pytest.mark.parametrize(
    ("act", "uses"),
    [
        (
            ActiveCommit("vda", "base", 1, in_bytes=True),
            {"virDomainBlockCommit", "virDomainBlockCommit ACTIVE", "virDomainBlockCommit BANDWIDTH_BYTES"},
        ),
        (SetSpeed("vda", 1), {"virDomainBlockJobSetSpeed"}),
        (Flush("vda"), set()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_act_uses_what_it_calls(act: ActiveCommit | SetSpeed | Flush, uses: set[str]) -> None:
    assert set(features(act.call(running()))) == uses


def test_all_that_an_act_may_use_is_offered() -> None:
    state: State = running()
    uses = features(Copy("vda", "copy", bandwidth=1 << 20, granularity=65536, buffer=1 << 20).call(state))
    assert set(uses) <= offered()
    assert "virDomainBlockCopy granularity" in uses


def test_what_no_measurement_came_after_is_not_verified() -> None:
    assert Used.of([_done("a"), _TABLE, _done("b")]).verified == {"a"}


def test_what_failed_is_refused_and_not_verified() -> None:
    used = Used.of([_done("a", outcome="libvirtError: no"), _TABLE])
    assert not used.verified
    assert used.refused == {"a"}


def test_what_nobody_explains_is_a_gap() -> None:
    covered = Covered(frozenset({"f", "f A", "g"}), Used(frozenset({"f"})), {"g*": "it is new"})
    assert (covered.verified, covered.explained, covered.gaps) == (["f"], {"g": "it is new"}, ["f A"])


def test_a_reason_that_explains_nothing_any_more_is_stale() -> None:
    covered = Covered(frozenset({"f", "g"}), Used(frozenset({"f"})), {"f": "later", "g": "later", "h": "later"})
    assert covered.stale == ["f", "h"]


def test_the_reasons_are_readable() -> None:
    assert all(reasons().values())


@pytest.mark.parametrize("text", ["nonsense", '"f" = 1', '"f" = ""'])
def test_bad_reasons_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "uncovered.toml"
    file.write_text(text)
    with pytest.raises(BadReasons, match=r"uncovered\.toml"):
        reasons(file)
