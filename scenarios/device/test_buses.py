"""Disks on SATA and USB: other commands of the guest's, other devices of QEMU's, the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.chain import ActiveCommit, AwaitCompleted, AwaitReady, Commit, Copy, Pivot, Pull
from harness.acts.device import Attach, Detach
from harness.acts.faults import KillQemu
from harness.acts.guest import Discard, Write, Zero
from harness.acts.images import CreateImage
from harness.acts.power import Reset, Resume, Start, Suspend
from harness.acts.snapshot import Snapshot
from harness.oracle.driver import Driver
from harness.trial.trial import Trial

pytestmark = [pytest.mark.buses, pytest.mark.cold]
JOBS: Mapping[str, Sequence[Act]] = {
    "active commit": (ActiveCommit("sda", "base"), AwaitReady("sda"), Write("sda", "D", (1, 9)), Pivot("sda")),
    "commit": (Commit("sda", "sn1", "base"), AwaitCompleted("sda")),
    "pull": (Pull("sda"), AwaitCompleted("sda")),
    "copy": (Copy("sda", "copy"), AwaitReady("sda"), Write("sda", "D", (1, 9)), Pivot("sda")),
    "copy, and a reset": (Copy("sda", "copy"), AwaitReady("sda"), Reset(), Write("sda", "D", (1,)), Pivot("sda")),
    "a kill, and a commit": (
        *(KillQemu(), Start(), ActiveCommit("sda", "base"), AwaitReady("sda"), Suspend(), Resume()),
        *(Write("sda", "D", (9,)), Pivot("sda")),
    ),
    "another one that comes and goes": (
        *(CreateImage("data", "sdb"), Attach("sdb"), Write("sdb", "D", (1, 9))),
        *(Snapshot("sdb", "over"), Detach("sdb")),
        *(Attach("sdb"), Write("sdb", "E", (2,)), ActiveCommit("sdb", "data"), AwaitReady("sdb"), Pivot("sdb")),
    ),
}
_NEEDS = {"copy, and a reset": "reset-of-a-generic-guest", "another one that comes and goes": "hotplug"}
_ROWS = [
    (bus, job) for bus in ("sata", "usb") for job in JOBS if (bus, job) != ("sata", "another one that comes and goes")
]


@pytest.mark.parametrize(
    ("bus", "job"),
    [
        pytest.param(
            bus,
            job,
            marks=[
                *([] if (bus, job) == ("sata", "active commit") else [pytest.mark.full]),
                *([pytest.mark.needs(_NEEDS[job])] if job in _NEEDS else []),
            ],
        )
        for bus, job in _ROWS
    ],
)
def test_jobs_keep_every_byte_of_a_disk_on_this_bus(trial: Trial, bus: str, job: str) -> None:
    """base <- sn1 <- cur (live)   becomes   what the job makes of it."""
    trial.create_base(disk="sda")
    vm = trial.define(driver=Driver(bus=bus)).start()
    trial.do(Write("sda", "A", (0, 1, 2, 3, 4)), Snapshot("sda", "sn1"), Write("sda", "B", (1, 5)))
    trial.do(Snapshot("sda", "cur"), Zero("sda", (3,), ranges=((7 * 65536 + 4096, 8192),)))
    trial.do(*[Discard("sda", (4,))] * (bus == "sata"))  # Linux discards nothing on a USB disk of QEMU's
    trial.verify("grown")

    trial.do(*JOBS[job], Write("sda", "E", (0, 10)))

    trial.verify("after the job")
    vm.shut_off()
    vm.start()
    trial.verify("started again")
