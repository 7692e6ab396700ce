"""An image that exists already, with whatever is on it, is the base of a chain."""

from __future__ import annotations

from pathlib import PurePosixPath

from harness.oracle.chain import Chain
from harness.oracle.image import Qcow2
from harness.trial.trial import Trial


def test_what_is_on_an_image_that_was_there_before_is_what_the_guest_sees_through_a_merge(trial: Trial) -> None:
    """old <- new (live)   becomes   old (live)."""
    old = PurePosixPath("/export/images/old.qcow2")
    trial.type(f"qemu-img create -q -f qcow2 -o cluster_size=16k {old} 4M").check()
    trial.type(f"qemu-io -f qcow2 -c 'write -P 7 1M 64k' {old}").check()
    trial.adopt(old, form=Qcow2(cluster_size=16384))
    vm = trial.define().start()
    vda = vm.disk("vda")
    before = vda.read()

    vda.snapshot("new")
    with vda.active_commit(into="old") as job:
        job.wait_ready()
        job.pivot()

    assert vda.read() == before
    assert before[1 << 20 : (1 << 20) + 65536] == b"\7" * 65536
    assert vda.chain() == Chain.named("old")
