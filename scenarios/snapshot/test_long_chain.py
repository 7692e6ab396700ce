"""A chain of many images: as long as a nightly snapshot makes it."""

from __future__ import annotations

from string import ascii_uppercase

from harness.oracle.chain import Chain
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

OVERLAYS = 40


def test_a_vm_on_a_chain_of_many_images_starts_and_merges_them_all(trial: Trial, vm: Vm) -> None:
    """base <- sn1 <- ... <- sn40 (live, shut off, live again)   becomes   base (live)."""
    vda = vm.disk("vda")
    cells = vda.content.geometry.cells
    vm.grow([(f"sn{n}", ascii_uppercase[n % 26], (n % cells, n * 5 % cells)) for n in range(1, OVERLAYS + 1)])
    assert len(vda.chain()) == OVERLAYS + 1
    vm.shut_off()

    vm.start()
    trial.verify("started again")
    assert vda.chain() == vda.expected_chain()

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        vda.write("Z", (3,))
        job.pivot()
    trial.verify("merged")
    assert vda.chain() == Chain.named("base")
