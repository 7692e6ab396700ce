"""A VM is paused while a backup of its disk is on, however the disk is served: it goes on, and nothing is lost."""

from __future__ import annotations

import pytest

from harness.acts.power import Resume, Suspend
from harness.oracle.driver import Driver
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")
ROWS = [
    pytest.param(False, True, id="main thread, throttled"),
    pytest.param(True, False, id="iothread"),
    pytest.param(True, True, id="iothread, throttled", marks=pytest.mark.full),
]


@pytest.mark.parametrize(("iothread", "throttled"), ROWS)
def test_a_vm_that_is_paused_during_a_backup_goes_on(trial: Trial, iothread: bool, throttled: bool) -> None:
    """base <- sn1 (live, and backed up)   stays   base <- sn1, paused and resumed."""
    trial.create_base()
    vm = trial.define(driver=Driver(iothread=iothread)).bring_up()
    vda = vm.disk("vda")
    vda.write("A", (0, 1, 5))
    vda.snapshot("sn1")
    if throttled:
        vda.throttle(5000)
    vm.expect_answers_within(20)

    with vda.pull_backup():
        trial.do(Suspend(), Resume())
        vda.write("B", (1, 2))
    trial.verify("the backup is ended")
