"""Images that name their backing files relatively (`qemu-img create -b sn1.qcow2`), and what jobs make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.chain import Commit, Pull
from harness.acts.images import CreateImage
from harness.oracle.chain import Chain
from harness.trial.nouns import Disk, Vm
from harness.trial.trial import Trial

LAYERS = (("sn1", "base", "B"), ("sn2", "sn1", "C"), ("cur", "sn2", "D"))
JOBS: Mapping[str, tuple[Commit | Pull, Sequence[str], Sequence[str]]] = {
    "commit": (Commit("vda", "sn2", "sn1"), ("base", "sn1", "cur"), ("sn1",)),
    "commit, relative": (Commit("vda", "sn2", "sn1", relative=True), ("base", "sn1", "cur"), ("sn1", "cur")),
    "commit of two, relative": (Commit("vda", "sn2", "base", relative=True), ("base", "cur"), ("cur",)),
    "commit with removal, relative": (
        Commit("vda", "sn1", "base", delete=True, relative=True),
        ("base", "sn2", "cur"),
        ("sn2", "cur"),
    ),
    "pull": (Pull("vda", "sn1"), ("base", "sn1", "cur"), ("sn1",)),
    "pull, relative": (Pull("vda", "sn1", relative=True), ("base", "sn1", "cur"), ("sn1", "cur")),
    "pull onto the base, relative": (Pull("vda", "base", relative=True), ("base", "cur"), ("cur",)),
}


@pytest.mark.parametrize("job", JOBS)
def test_a_backing_file_is_named_relatively_where_that_is_asked_for(trial: Trial, vm: Vm, job: str) -> None:
    """base <- sn1 <- sn2 <- cur (live, each named relatively)   becomes   what the row says."""
    act, left, relative = JOBS[job]
    vda = _grown(trial, vm)

    with vda.begin(act) as running:
        running.wait_completed()
    vda.write("E", (0, 10))

    trial.verify("done")  # a universal check reads the names in the headers
    assert vda.chain() == Chain.named(*left)
    assert [name for name in left if vda.content.layer(name).relative] == list(relative)


def test_an_active_commit_leaves_what_lies_below_as_it_was(trial: Trial, vm: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live, each named relatively)   becomes   base <- sn1 (live), named relatively."""
    vda = _grown(trial, vm)

    with vda.active_commit(into="sn1") as job:
        job.wait_ready()
        job.pivot()

    trial.verify("pivoted")
    assert vda.chain() == Chain.named("base", "sn1")
    assert vda.content.layer("sn1").relative


def _grown(trial: Trial, vm: Vm) -> Disk:
    vda = vm.disk("vda")
    vda.write("A", (0, 1, 2))
    for number, (name, below, label) in enumerate(LAYERS, 1):
        trial.do(CreateImage(name, backing=below, relative=True))
        vda.snapshot_into(name)
        vda.write(label, (number, number + 3))
    return vda
