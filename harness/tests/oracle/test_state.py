"""What must be true of everything: what there is, where it lies, and in which words something is said not to be."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest

from harness.oracle.backup import BackedUp, Backup
from harness.oracle.content import Content, Impossible
from harness.oracle.image import QCOW2, File, Image, Nbd
from harness.oracle.state import Power, State, VmState

RUNNING = State().with_vm("vm1", VmState({"vda": Content.new("base"), "vdb": Content.new("two")}, Power.RUNNING))
ELSEWHERE = File(PurePosixPath("/elsewhere/base.raw"))


def refused(do: Callable[[], object], words: str) -> None:
    with pytest.raises(Impossible, match=f"^{re.escape(words)}$"):
        do()


def test_a_disk_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    assert RUNNING.disk("vm1", "vda").files() == ("base",)
    refused(lambda: RUNNING.disk("vm1", "vdz"), "vm1 has no disk vdz; it has vda, vdb")
    refused(lambda: State().disk("vm1", "vda"), "vm1 has no disk vda; it has none")


def test_without_a_daemon_nothing_is_done_to_a_disk_and_during_a_backup_of_it() -> None:
    stopped = State(RUNNING.vms, daemon=None)
    busy = RUNNING.with_vm(
        "vm1", VmState(RUNNING.vm("vm1").disks, Power.RUNNING, backup=Backup({"vda": BackedUp((), 0)}))
    )

    refused(stopped.served, "no libvirtd runs")
    refused(lambda: busy.operated("vm1", "vda"), "a backup of vda is on")
    refused(lambda: busy.without_backup("vm1"), "a backup of vda is on")
    assert busy.operated("vm1", "vdb") == RUNNING.disk("vm1", "vdb")


def test_an_image_lies_where_it_was_put_or_where_images_do() -> None:
    state = State(RUNNING.vms, stores={"base": ELSEWHERE})

    assert state.image("vm1", "vda", "base") == Image("base", QCOW2, ELSEWHERE)
    assert state.image("vm1", "vdb", "two") == Image("two", QCOW2, File(PurePosixPath("/export/images/two.qcow2")))
    assert state.path("base") == ELSEWHERE.path


def test_an_image_that_is_no_file_has_no_path() -> None:
    store = Nbd(PurePosixPath("/export/nbd"), "base")

    with pytest.raises(ValueError, match=f"^base has no path: it is {re.escape(str(store))}$"):
        State(stores={"base": store}).path("base")


def test_what_the_daemon_may_log_adds_up() -> None:
    state = State().with_noise("one").with_noise("two", "three")

    assert state.noise == {"one", "two", "three"}
    assert state.with_noise() is state
