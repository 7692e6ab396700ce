"""What a broken release could do to a chain, done on purpose: it is found, and named in the domain's words."""

from __future__ import annotations

import pytest

from harness.acts.chain import ActiveCommit, AwaitReady, Pivot, Snapshot
from harness.acts.faults import StartDaemon, StopDaemon
from harness.detect.sabotage import (
    abort_the_job,
    deaf_to,
    flipped_bit,
    grow_file,
    misplace_cluster,
    pretend,
    put_back,
    read_wrong,
)
from harness.errors import AgentError, Ailing, CheckFailed
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.verdict.checks import verify_all
from harness.verdict.explanation import explain
from harness.verdict.finding import ChecksFailed
from harness.vm.jobs import LATE, BlockJobFailed
from harness.waiting import now, scaled

pytestmark = pytest.mark.sabotaged


def test_a_flipped_bit_in_any_layer_is_found_and_named(trial: Trial, layered: Vm) -> None:
    assert layered.disk("vda").content.chain() == ("base", "sn1", "sn2", "cur")
    for image, label, cell in (("base", "A", 1), ("sn1", "B", 4), ("sn2", "C", 7), ("cur", "D", 9)):
        found = f"{image} contains: cell {cell}.* should be {label}, is torn"
        with flipped_bit(trial, image, label, cell), pytest.raises(CheckFailed, match=found):
            trial.verify("a bit is flipped")
        trial.verify("the bit is as it was")


def test_what_the_guest_reads_wrong_is_said_of_the_guest(
    trial: Trial, layered: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, honest = layered.domain.port, layered.domain.port.read
    monkeypatch.setattr(port, "read", lambda *where: read_wrong(honest(*where)))

    with pytest.raises(CheckFailed, match="guest shows: cell 0") as caught:
        trial.verify("read wrong")
    assert caught.value.seen == "otherwise, by the guest; as expected, by chainproof's qcow2 reader and QEMU over NBD"


def test_a_layer_that_cannot_be_read_is_named(trial: Trial, layered: Vm) -> None:
    layered.shut_off()
    misplace_cluster(trial, "sn2", cluster=6)

    with pytest.raises(CheckFailed, match=r"sn2: it cannot be read: .*lies at \d+, no cluster boundary") as caught:
        trial.verify("a cluster is misplaced")
    assert caught.value.seen == "otherwise, by chainproof's qcow2 reader and QEMU over NBD"


def test_a_write_to_the_base_that_the_commit_lost_is_found(trial: Trial, layered: Vm) -> None:
    with layered.disk("vda").active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()
    put_back(trial, "base", "B", 3, stale="A")

    with pytest.raises(CheckFailed, match="base contains: cell 3 should be B, is A") as caught:
        verify_all(trial)
    assert "guest shows: cell 3 should be B, is A" in str(caught.value)


def test_a_commit_that_reports_success_without_pivoting_is_found(trial: Trial, layered: Vm) -> None:
    with layered.disk("vda").active_commit(into="base") as job:
        job.wait_ready()
        pretend(trial, Pivot("vda"), instead=lambda: abort_the_job(trial))

    with pytest.raises(ChecksFailed) as caught:
        verify_all(trial)
    assert "the chain in the live XML is base" in str(caught.value)
    assert "still there: sn1, sn2, cur" in str(caught.value)
    places = {"chain in the persistent definition", "chain in QEMU", "chain in domblklist"}
    assert places <= {finding.check for finding in caught.value.findings}


def test_an_extra_image_left_in_the_chain_is_found(trial: Trial, layered: Vm) -> None:
    with layered.disk("vda").active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()
    call = Snapshot("vda", "extra").call(trial.state)
    layered.domain.call("the snapshot", lambda handle: handle.snapshotCreateXML(call.xml, 16))  # DISK_ONLY

    with pytest.raises(CheckFailed) as caught:
        verify_all(trial)
    assert "base <- /export/images/extra.qcow2" in str(caught.value)
    assert "the files are base.qcow2, cur.qcow2, sn1.qcow2, sn2.qcow2" in str(caught.value)


@pytest.mark.parametrize("status", ["ready", "completed"])
@pytest.mark.usefixtures("layered")
def test_an_event_that_never_comes_is_named_early(trial: Trial, status: str) -> None:
    began, named = now(), f"no event that the job of vda is {status}, though by its own state it has been"

    with deaf_to(trial, status), pytest.raises(BlockJobFailed, match=named):
        trial.do(ActiveCommit("vda", "base"), AwaitReady("vda"), Pivot("vda"))
    assert now() - began < scaled(4 * LATE)


def test_a_qemu_that_ended_after_the_last_act_is_found(trial: Trial, layered: Vm) -> None:
    domain = layered.domain
    since = domain.daemon.events.mark()
    domain.daemon.sandbox.signal(domain.qemu_pid, "KILL")
    domain.daemon.events.wait("the VM to be off", lambda event: event.status == "stopped", since=since, timeout=10)

    with pytest.raises(CheckFailed, match="QEMU has ended by itself"):
        verify_all(trial)
    with pytest.raises(CheckFailed, match="QEMU has ended by itself: it was ended by SIGKILL"):
        explain(trial, AgentError("disk server", "the connection is gone"))


def test_a_qemu_that_hangs_is_killed_so_that_the_call_returns(layered: Vm) -> None:
    domain = layered.domain
    since = domain.daemon.events.mark()
    domain.daemon.sandbox.signal(domain.qemu_pid, "STOP")

    with pytest.raises(Ailing, match="waiting for snapshotCreateXML of vm1\nseen:     QEMU has stopped"):
        layered.disk("vda").snapshot("late")
    domain.daemon.events.wait("the VM to be off", lambda event: event.status == "stopped", since=since, timeout=10)


def test_a_qemu_that_hangs_after_the_last_act_is_killed_and_found(trial: Trial, layered: Vm) -> None:
    layered.domain.daemon.sandbox.signal(layered.domain.qemu_pid, "STOP")

    with pytest.raises(CheckFailed, match=r"it does not: .* waiting for query-status of vm1\n.*QEMU has stopped"):
        verify_all(trial)


@pytest.mark.usefixtures("layered")
def test_a_scenario_that_ends_without_its_daemon_is_found(trial: Trial) -> None:
    trial.do(StopDaemon())
    try:
        with pytest.raises(CheckFailed, match="libvirtd runs at the end of a scenario"):
            verify_all(trial)
    finally:
        trial.do(StartDaemon())


def test_what_is_found_with_the_vm_on_and_is_known_hides_nothing_that_is_found_with_it_off(
    trial: Trial, layered: Vm
) -> None:
    trial.do(ActiveCommit("vda", "base"), AwaitReady("vda"))
    pretend(trial, Pivot("vda"), instead=lambda: abort_the_job(trial))
    grow_file(trial, "base", 10 << 20)

    with pytest.raises(ChecksFailed) as caught:
        verify_all(trial, explained=lambda _: True)

    assert {"chain in the live XML", "allocation"} <= {finding.check for finding in caught.value.findings}
    assert not layered.domain.is_running()
