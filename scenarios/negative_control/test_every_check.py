"""Every universal check is seen to fail: for each there is a control here, under the check's own name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import libvirt
import pytest

from harness.acts.chain import ActiveCommit, AwaitReady, Pivot, Snapshot
from harness.acts.power import ShutOff, Suspend
from harness.detect import sabotage
from harness.errors import AgentError
from harness.readers.own import Reader
from harness.stack.events import Event, EventKind
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.verdict.checks import CHECKS, verify_all
from harness.verdict.finding import ChecksFailed
from harness.waiting import now

pytestmark = pytest.mark.sabotaged

Control = Callable[[Trial, Vm, ExitStack], None]


def _not_pivoted(trial: Trial, _: Vm, __: ExitStack) -> None:
    trial.do(ActiveCommit("vda", "base"), AwaitReady("vda"))
    sabotage.pretend(trial, Pivot("vda"), instead=lambda: sabotage.abort_the_job(trial))


def _job_left(trial: Trial, _: Vm, stack: ExitStack) -> None:
    trial.do(ActiveCommit("vda", "base"), AwaitReady("vda"))
    stack.callback(lambda: sabotage.abort_the_job(trial))


def _write_lost(trial: Trial, _: Vm, __: ExitStack) -> None:
    sabotage.put_back(trial, "sn1", "B", 3, stale="A")


def _write_lost_when_off(trial: Trial, vm: Vm, stack: ExitStack) -> None:
    vm.shut_off()
    _write_lost(trial, vm, stack)


def _resumed(trial: Trial, vm: Vm, _: ExitStack) -> None:
    trial.do(Suspend())
    vm.domain.call("the resume", lambda handle: handle.resume())


def _io_error(trial: Trial, vm: Vm, _: ExitStack) -> None:
    vm.shut_off()
    sabotage.misplace_cluster(trial, "sn2", cluster=6)
    vm.start()
    with pytest.raises(AgentError):
        vm.disk("vda").read()


def _other_event(trial: Trial, vm: Vm, _: ExitStack) -> None:
    event = Event(now(), EventKind.BLOCK_JOB, vm.name, "/export/images/cur.qcow2", "completed", "pull")
    trial.daemon.events.events.append(event)


def _told_twice(trial: Trial, vm: Vm, _: ExitStack) -> None:
    trial.do(ActiveCommit("vda", "base"), AwaitReady("vda"), Pivot("vda"))
    for kind in (EventKind.BLOCK_JOB, EventKind.BLOCK_JOB_2):
        event = Event(now(), kind, vm.name, "vda", "completed", "active-commit")
        trial.daemon.events.events.append(event)


def _paused_for_a_moment(_: Trial, vm: Vm, __: ExitStack) -> None:
    vm.domain.call("the pause", lambda handle: handle.suspend())
    vm.domain.call("the resume", lambda handle: handle.resume())


def _killed_in_place_of_shut_off(trial: Trial, vm: Vm, _: ExitStack) -> None:
    sabotage.pretend(trial, ShutOff(), instead=vm.domain.kill_qemu)


def _second_node(trial: Trial, vm: Vm, _: ExitStack) -> None:
    file = {"driver": "file", "filename": str(trial.path("base"))}
    node = {"driver": "qcow2", "node-name": "left", "read-only": True, "backing": None, "file": file}
    sabotage.qmp(vm.domain, "blockdev-add", **node)


def _bitmap(_: Trial, vm: Vm, __: ExitStack) -> None:
    sabotage.qmp(vm.domain, "block-dirty-bitmap-add", node="libvirt-4-format", name="left")


def _kept_otherwise(trial: Trial, *_: object) -> None:
    sabotage.forget_layer(trial, "sn1", "base")


def _no_record(trial: Trial, vm: Vm, _: ExitStack) -> None:
    meant, done = Snapshot("vda", "late", name="late"), Snapshot("vda", "late").call(trial.state)
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    instead = lambda: vm.domain.call("the snapshot", lambda handle: handle.snapshotCreateXML(done.xml, flags))  # noqa: E731
    sabotage.pretend(trial, meant, instead=instead)


def _stray_file(trial: Trial, *_: object) -> None:
    trial.daemon.sandbox.outside(trial.path("base")).with_name("stray").touch()


def _other_backing(trial: Trial, vm: Vm, _: ExitStack) -> None:
    vm.shut_off()
    sabotage.name_backing(trial, "cur", "sn1")


def _other_format(trial: Trial, vm: Vm, _: ExitStack) -> None:
    vm.shut_off()
    sabotage.name_backing(trial, "sn2", "sn1", "raw")


def _grown(_: Trial, vm: Vm, __: ExitStack) -> None:
    vm.domain.call("the resize", lambda handle: handle.blockResize("vda", 1 << 20, 1))  # BYTES


def _snapshot_inside(trial: Trial, vm: Vm, _: ExitStack) -> None:
    vm.shut_off()
    sabotage.leave_snapshot_inside(trial, "cur")


def _allocated_in_vain(trial: Trial, vm: Vm, _: ExitStack) -> None:
    vm.shut_off()
    sabotage.write_zeros(trial, "base", 10 * 65536, 65536)


def _free_metadata(trial: Trial, vm: Vm, _: ExitStack) -> None:
    vm.shut_off()
    sabotage.forget_reference(trial, "sn2")


def _locked(trial: Trial, vm: Vm, stack: ExitStack) -> None:
    vm.shut_off()
    stack.enter_context(sabotage.locked(trial, "cur"))


CONTROLS: dict[str, Control] = {
    "same boot of the guest": lambda _, vm, __: sabotage.reboot(vm.domain),
    "same QEMU process": lambda _, vm, __: sabotage.start_other_qemu(vm.domain),
    "state": _resumed,
    "no I/O error": _io_error,
    "content": _write_lost,
    "chain in the live XML": _not_pivoted,
    "chain in the persistent definition": _not_pivoted,
    "chain in QEMU": _not_pivoted,
    "chain in the image headers": _other_backing,
    "chain in domblklist": _not_pivoted,
    "backing format": _other_format,
    "virtual size": lambda trial, _, __: sabotage.grow_disk(trial, "sn1", 1 << 20),
    "size of the device": _grown,
    "block nodes": _second_node,
    "options of block nodes": lambda _, vm, __: sabotage.throttle(vm.domain, "vda"),
    "exports and bitmaps": _bitmap,
    "no job left": _job_left,
    "no job in QEMU": _job_left,
    "events in order": _job_left,
    "events alike": _other_event,
    "ends of jobs": _told_twice,
    "pauses": _paused_for_a_moment,
    "files": _stray_file,
    "mode and owner": lambda trial, _, __: sabotage.change_mode(trial, "sn1"),
    "definition on disk": _kept_otherwise,
    "status on disk": _kept_otherwise,
    "snapshots": _no_record,
    "left of a VM": lambda _, vm, stack: stack.enter_context(sabotage.left_beside(vm.domain)),
    "domains": lambda trial, _, stack: stack.enter_context(sabotage.another_domain(trial)),
    "content, shut off": _write_lost_when_off,
    "images clean": _free_metadata,
    "refcounts": _free_metadata,
    "inside images": _snapshot_inside,
    "holes": _allocated_in_vain,
    "locks released": _locked,
    "allocation": lambda trial, _, __: sabotage.grow_file(trial, "cur", 1 << 20),
    "QEMU's log": lambda _, vm, __: sabotage.write_into_log(vm.domain, "free(): invalid pointer"),
    "QEMU's end": _killed_in_place_of_shut_off,
    "QEMU's exit status": _killed_in_place_of_shut_off,
    "daemon unharmed": lambda _, vm, __: sabotage.refused_pivot(vm.domain),
}
ELSEWHERE = {
    "no crash": "test_a_qemu_that_crashes_at_its_end_is_found",
    "readers agree": "test_two_readers_that_do_not_agree_on_an_opaque_disk",
    "end of the chain in the live XML": "test_a_live_xml_that_leaves_the_end_of_the_chain_open_is_found",
}
"""Checks whose control needs a VM or a daemon of another kind, and that control's name."""


@pytest.mark.parametrize("check", [check.name for check in CHECKS if check.name not in ELSEWHERE])
def test_it_finds_what_was_broken_on_purpose(trial: Trial, layered: Vm, check: str) -> None:
    with ExitStack() as stack:
        CONTROLS[check](trial, layered, stack)

        with pytest.raises(ChecksFailed) as caught:
            verify_all(trial)

    assert check in {finding.check for finding in caught.value.findings}


def test_two_readers_that_do_not_agree_on_an_opaque_disk(trial: Trial, tmp_path: Path) -> None:
    """readers agree: our own reader is given another file."""
    trial.create_root_base()
    trial.define(root_on_vda=True)
    other = tmp_path / "other.qcow2"
    shutil.copy(trial.daemon.sandbox.outside(trial.path("base")), other)
    with other.open("r+b") as stream:
        stream.seek(-65536, 2)
        stream.write(b"another byte")
    trial.reader = Reader(lambda _: other)

    with pytest.raises(ChecksFailed) as caught:
        verify_all(trial)

    assert {finding.check for finding in caught.value.findings} == {"readers agree"}


def test_an_image_that_was_made_with_other_options_than_it_should_be(trial: Trial) -> None:
    """chain in the image headers: an empty base of other clusters."""
    trial.create_base()
    trial.define()
    sabotage.make_with_other_clusters(trial, "base")

    with pytest.raises(ChecksFailed, match="claimed:  base has cluster-size 65536\nseen:     it has 4096") as caught:
        verify_all(trial)

    assert {finding.check for finding in caught.value.findings} == {"chain in the image headers"}
