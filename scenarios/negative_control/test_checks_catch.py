"""Each thing that a broken release could do to a chain, done on purpose: the check that should catch it does."""

from __future__ import annotations

import re

import libvirt
import pytest

from harness.detect.sabotage import flipped_bit, put_back
from harness.errors import AgentError, CheckFailed, WaitTimeout
from harness.stack.events import EventKind
from harness.trial.trial import Trial
from harness.verdict.checks import explain, verify_all
from harness.vm.domain import Domain

pytestmark = pytest.mark.sabotaged


def test_a_flipped_bit_in_any_layer_is_found_and_named(trial: Trial, layered: Domain) -> None:
    assert layered.disk.content.chain() == ("base", "sn1", "sn2", "cur")
    for image, label, cell in (("base", "A", 1), ("sn1", "B", 4), ("sn2", "C", 7), ("cur", "D", 9)):
        found = f"{image} contains: cell {cell}.* should be {label}, is torn"
        with flipped_bit(trial, image, label, cell), pytest.raises(CheckFailed, match=found):
            trial.verify("a bit is flipped")
        trial.verify("the bit is as it was")


def test_a_write_to_the_base_that_the_commit_lost_is_found(trial: Trial, layered: Domain) -> None:
    with layered.disk.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()
    put_back(trial, "base", "B", 3, stale="A")

    with pytest.raises(CheckFailed, match="base contains: cell 3 should be B, is A") as caught:
        verify_all(trial)
    assert "guest shows: cell 3 should be B, is A" in str(caught.value)


def test_a_commit_that_reports_success_without_pivoting_is_found(trial: Trial, layered: Domain) -> None:
    with layered.disk.active_commit(into="base") as job:
        job.wait_ready()
        since = layered.daemon.events.mark()
        layered.handle.blockJobAbort("vda", 0)
        layered.disk.wait_event(EventKind.BLOCK_JOB_2, "canceled", since=since)
        job.pretend_pivoted()

    with pytest.raises(CheckFailed) as caught:
        verify_all(trial)
    said = str(caught.value)
    assert "the chain in the live XML is base" in said
    assert "still there: sn1.qcow2, sn2.qcow2, cur.qcow2" in said
    for place in ("the persistent definition", "QEMU", "domblklist"):
        assert re.search(rf"^chain in {place}:", said, re.MULTILINE), place


def test_an_extra_image_left_in_the_chain_is_found(trial: Trial, layered: Domain) -> None:
    with layered.disk.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()
    told = layered.disk.content
    layered.disk.snapshot("extra")
    layered.disk.content = told

    with pytest.raises(CheckFailed) as caught:
        verify_all(trial)
    assert "base <- extra" in str(caught.value)
    assert "the files are base.qcow2, cur.qcow2, sn1.qcow2, sn2.qcow2" in str(caught.value)


def test_a_live_xml_that_leaves_the_end_of_the_chain_open_is_found(
    trial: Trial, layered: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = layered.xml()
    assert told.count("<backingStore/>") == 1
    monkeypatch.setattr(layered, "xml", lambda **_: told.replace("<backingStore/>", ""))

    with pytest.raises(CheckFailed) as caught:
        verify_all(trial)
    assert "1 of them fail\nend of the chain in the live XML:" in str(caught.value)


def test_a_guest_that_rebooted_in_the_middle_is_found(trial: Trial, layered: Domain) -> None:
    since = layered.daemon.events.mark()
    layered.handle.reset(0)
    layered.wait_agent(since, timeout=30)

    with pytest.raises(CheckFailed, match="it has rebooted"):
        verify_all(trial)


def test_a_qemu_that_ended_after_the_last_act_is_found(trial: Trial, layered: Domain) -> None:
    since = layered.daemon.events.mark()
    layered.daemon.sandbox.signal(layered.qemu_pid, "KILL")
    layered.daemon.events.wait("the VM to be off", lambda event: event.status == "stopped", since=since, timeout=10)

    with pytest.raises(CheckFailed, match="QEMU has ended by itself"):
        verify_all(trial)
    with pytest.raises(CheckFailed, match="QEMU has ended by itself"):
        explain(trial, AgentError("disk server", "the connection is gone"))
    explain(trial, ValueError("what comes of something else stays what it is"))


def test_a_job_that_is_left_is_found(trial: Trial, layered: Domain) -> None:
    with layered.disk.active_commit(into="base") as job:
        job.wait_ready()
        with pytest.raises(CheckFailed) as caught:
            verify_all(trial)
        job.abort()
    assert "no job left:" in str(caught.value)
    assert "every job has its terminal event" in str(caught.value)


def test_an_error_in_the_daemons_log_is_found(trial: Trial, layered: Domain) -> None:
    with pytest.raises(libvirt.libvirtError):
        layered.handle.blockJobAbort("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)

    with pytest.raises(CheckFailed, match="the daemon logs no error"):
        verify_all(trial)


def test_a_qemu_that_hangs_is_killed_so_that_the_call_returns(layered: Domain) -> None:
    layered.call_timeout = 1.0
    since = layered.daemon.events.mark()
    layered.daemon.sandbox.signal(layered.qemu_pid, "STOP")

    with pytest.raises(WaitTimeout, match="the snapshot late of vm1; last seen: the call was broken off"):
        layered.disk.snapshot("late")
    layered.daemon.events.wait("the VM to be off", lambda event: event.status == "stopped", since=since, timeout=10)
