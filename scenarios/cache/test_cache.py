"""Jobs in every cache mode of libvirt's, and with what else its <driver> takes: content, and what a kill leaves."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.acts.faults import KillQemu
from harness.oracle.chain import Chain
from harness.oracle.driver import Driver
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

MODES = ("none", "writeback", "writethrough", "directsync", "unsafe")
_OTHERS = ("writeback", "directsync", "unsafe")  # none is every scenario's mode; writethrough has no write cache
ROWS = [pytest.param(mode, marks=[pytest.mark.full] if mode in _OTHERS else []) for mode in MODES]
DRIVERS: Mapping[str, Driver] = {
    **{mode: Driver(mode) for mode in MODES},
    "io native": Driver(io="native"),
    "io threads": Driver("writeback", io="threads"),
    "io_uring": Driver(io="io_uring"),
    "discard ignore": Driver(discard="ignore"),
    "detect_zeroes on": Driver(detect_zeroes="on"),
    "detect_zeroes unmap": Driver(detect_zeroes="unmap"),
    "queues": Driver(queues=4),
}
DEFAULT_TIER = ("none", "writethrough", "io native", "discard ignore", "detect_zeroes unmap")
DRIVER_ROWS = [pytest.param(name, marks=[] if name in DEFAULT_TIER else [pytest.mark.full]) for name in DRIVERS]


@pytest.mark.parametrize("driver", DRIVER_ROWS)
def test_jobs_keep_every_byte_however_the_disk_is_served(trial: Trial, driver: str) -> None:
    """base <- sn1 <- sn2 (live)   becomes   base (live), then copy (live), then copy <- late (live)."""
    vda = _grown(trial, DRIVERS[driver]).disk("vda")
    vda.zero((3,), ranges=((7 * 65536 + 4096, 8192),), as_data=True)
    vda.discard((1,))
    trial.verify("zeros written, and discarded")

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
    vda.snapshot("late")
    vda.zero((4,), as_data=True)
    assert vda.chain() == Chain.named("copy", "late")


@pytest.mark.parametrize("cache", ROWS[:-1])
def test_what_was_flushed_outlives_a_killed_qemu_in_any_cache_mode(trial: Trial, cache: str) -> None:
    """base <- sn1 <- sn2 (live)   stays   base <- sn1 <- sn2, off, then started."""
    vm = _grown(trial, Driver(cache))
    vda = vm.disk("vda")

    vda.write("E", (0, 10))
    vda.discard((1,))
    trial.do(KillQemu())
    trial.verify("killed")
    vm.start()

    trial.verify("started")
    assert vda.chain() == Chain.named("base", "sn1", "sn2")


def _grown(trial: Trial, driver: Driver) -> Vm:
    trial.create_base()
    vm = trial.define(driver=driver).bring_up()
    vda = vm.disk("vda")
    vda.write("A", (0, 1, 2, 3))
    vda.snapshot("sn1")
    vda.write("B", (1, 5))
    vda.snapshot("sn2")
    vda.write("C", (2,))
    return vm
