"""What libvirt tells of errors of storage: of which disk, and until when."""

from __future__ import annotations

import pytest

from harness.acts.chain import Abort, AwaitReady, Copy
from harness.acts.guest import BeginWrite, EndWrite, FailWrite
from harness.acts.power import Resume
from harness.acts.storage import AwaitStopped, BreakStorage, HealStorage
from harness.stack.events import EventKind
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

pytestmark = pytest.mark.ill_storage


@pytest.mark.parametrize("job", ["without a job", "during a copy"])
def test_the_event_of_an_error_names_the_disk_and_its_image(trial: Trial, layered: Vm, job: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   has a write that fails."""
    if job == "during a copy":
        trial.do(Copy("vda", "copy"), AwaitReady("vda"))
    trial.do(BreakStorage("cur", "write"), FailWrite("vda", "E", (1,)), HealStorage())
    if layered.disk("vda").content.job:
        trial.do(Abort("vda"))
    events, since = trial.daemon.events, trial.first_event
    told = events.wait("an error", lambda event: event.kind is EventKind.IO_ERROR, since=since, timeout=10)

    assert told.subject == f"virtio-disk0 {trial.path('cur')}"


def test_an_error_that_is_over_is_told_no_more(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   is paused for want of room, and resumed."""
    trial.do(BreakStorage("cur", "write", "ENOSPC"), BeginWrite("vda", "E", (1,)), AwaitStopped("vda"))
    assert layered.domain.call("diskErrors", lambda handle: handle.diskErrors()) == {"vda": 2}  # no space
    trial.do(HealStorage(), Resume(), EndWrite("vda"))

    assert layered.domain.call("diskErrors", lambda handle: handle.diskErrors()) == {}
