"""Jobs in every cache mode of libvirt's: content, QEMU's nodes, and what a killed QEMU leaves."""

from __future__ import annotations

import pytest

from harness.acts.faults import KillQemu
from harness.acts.power import Define
from harness.oracle.chain import Chain
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

MODES = ("none", "writeback", "writethrough", "directsync", "unsafe")
_OTHERS = ("writeback", "directsync", "unsafe")  # none is every scenario's mode; writethrough has no write cache
ROWS = [pytest.param(mode, marks=[pytest.mark.full] if mode in _OTHERS else []) for mode in MODES]


@pytest.mark.parametrize("cache", ROWS)
def test_jobs_keep_every_byte_in_any_cache_mode(trial: Trial, cache: str) -> None:
    """base <- sn1 <- sn2 (live)   becomes   base (live), then copy (live)."""
    vda = _grown(trial, cache).disk("vda")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        vda.write("E", (0, 10))
        job.pivot()
    trial.verify("pivoted into the base")
    with vda.copy("copy") as job:
        job.wait_ready()
        vda.write("F", (5,))
        job.pivot()

    trial.verify("pivoted to the copy")
    assert vda.chain() == Chain.named("copy")


@pytest.mark.parametrize("cache", ROWS[:-1])
def test_what_was_flushed_outlives_a_killed_qemu_in_any_cache_mode(trial: Trial, cache: str) -> None:
    """base <- sn1 <- sn2 (live)   stays   base <- sn1 <- sn2, off, then started."""
    vm = _grown(trial, cache)
    vda = vm.disk("vda")

    vda.write("E", (0, 10))
    vda.discard((1,))
    trial.do(KillQemu())
    trial.verify("killed")
    vm.start()

    trial.verify("started")
    assert vda.chain() == Chain.named("base", "sn1", "sn2")


def _grown(trial: Trial, cache: str) -> Vm:
    trial.create_base()
    trial.do(Define(cache=cache))
    vm = trial.vm().bring_up()
    vda = vm.disk("vda")
    vda.write("A", (0, 1, 2, 3))
    vda.snapshot("sn1")
    vda.write("B", (1, 5))
    vda.snapshot("sn2")
    vda.write("C", (2,))
    return vm
