"""A chain of many images: as long as a nightly snapshot makes it."""

from __future__ import annotations

from string import ascii_uppercase

from harness.oracle.chain import Chain
from harness.trial.trial import Trial
from harness.vm.domain import Domain

OVERLAYS = 40


def test_a_vm_on_a_chain_of_many_images_starts_and_merges_them_all(trial: Trial, domain: Domain) -> None:
    """base <- sn1 <- ... <- sn40 (live, shut off, live again)   becomes   base (live)."""
    disk = domain.disk
    cells = disk.content.geometry.cells
    domain.grow([(f"sn{n}", ascii_uppercase[n % 26], (n % cells, n * 5 % cells)) for n in range(1, OVERLAYS + 1)])
    assert len(disk.chain()) == OVERLAYS + 1
    domain.shut_off()

    guest = domain.start()
    trial.verify("started again")
    assert disk.chain() == disk.expected_chain()

    with disk.active_commit(into="base") as job:
        job.wait_ready()
        guest.write_marker("Z", (3,))
        job.pivot()
    trial.verify("merged")
    assert disk.chain() == Chain.of(disk.image("base"))
