"""Snapshots inside images: what they keep stays, whatever comes later, and is gone back to with the guest's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import pytest

from harness.acts.act import Act
from harness.acts.chain import ActiveCommit, AwaitCompleted, AwaitReady, Commit, Copy, Pivot, Resize
from harness.acts.faults import KillDaemon, KillQemu, StartDaemon
from harness.acts.guest import Discard, RunInGuest, Write, Zero
from harness.acts.images import CreateImage
from harness.acts.power import Reset, Resume, ShutOff, Start, Suspend
from harness.acts.records import DeleteSnapshot, RedefineSnapshot
from harness.acts.revert import RevertToSnapshot
from harness.acts.saving import Restore, Save
from harness.acts.snapshot import InternalSnapshot, Snapshot
from harness.oracle.image import Format, Qcow2
from harness.oracle.layer import Parts
from harness.oracle.state import Power
from harness.trial.nouns import Vm
from harness.trial.trial import Trial


def test_each_instant_is_gone_back_to_with_its_guest(trial: Trial) -> None:
    """base with s1, s2, s3 inside (live)   becomes   base as at s1, s3, s2 and s1 again, each with its guest."""
    vm, instants = _with_three(trial)
    for number, name in enumerate(("s1", "s3", "s2", "s1")):
        trial.do(RevertToSnapshot(name))
        assert vm.disk().content.guest() == instants[name]
        assert vm.domain.agent.run("cat /run/token").decode().strip() == name
        trial.verify(f"gone back to {name}")
        vm.disk().write(f"X{number}", (number, 9))
        trial.verify(f"written after {name}")


_POWER: Mapping[Power, Sequence[Act]] = {
    Power.OFF: (ShutOff(),),
    Power.PAUSED: (Suspend(),),
    Power.RUNNING: (),
}
_FEW = ["paused then, running now, as it was"]
_FLAGS: Mapping[str, RevertToSnapshot] = {
    "as it was": RevertToSnapshot("s1"),
    # libvirt 7.0 wants to be forced where a VM that is on is to boot
    "running": RevertToSnapshot("s1", running=True, force=True),
    "paused": RevertToSnapshot("s1", paused=True, force=True),
}
WAYS = {
    f"{then} then, {now} now, {how}": (_POWER[then], _POWER[now], _FLAGS[how])
    for then, now, how in product(_POWER, _POWER, _FLAGS)
}


@pytest.mark.parametrize("way", [pytest.param(way, marks=[] if way in _FEW else [pytest.mark.full]) for way in WAYS])
def test_it_is_gone_back_to_from_and_into_each_state(trial: Trial, way: str) -> None:
    """base with s1 inside   becomes   base as at s1, of which the guest is as it was then, or as it is asked for."""
    then, now, revert = WAYS[way]
    trial.create_base()
    vm = trial.define().bring_up()
    vm.disk().write("A", (0, 1, 2), flush=False)
    instant = vm.disk().content.guest()
    trial.do(*then, InternalSnapshot("s1"))
    _go_on(trial, vm)
    vm.disk().write("B", (1, 2, 3))
    trial.do(*now, revert)
    assert vm.disk().content.guest() == instant
    _go_on(trial, vm)
    trial.verify("gone back to s1")
    vm.disk().write("C", (4,))

    trial.verify("written after it")


def _go_on(trial: Trial, vm: Vm) -> None:
    if vm.state.power is Power.PAUSED:
        trial.do(Resume())
    elif vm.state.power is Power.OFF:
        trial.do(Start())


FORMATS: Mapping[str, Format] = {
    "clusters of 4096": Qcow2(4096),
    "version 2": Qcow2(compat="0.10"),
    "2 MiB": Qcow2(1 << 21),
    "subclusters": Qcow2(131072, subclusters=True),
    "lazy refcounts": Qcow2(lazy_refcounts=True),
    "refcounts of 8 bits": Qcow2(refcount_bits=8),
}


@pytest.mark.cold
@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=[] if form == "subclusters" else [pytest.mark.full]) for form in FORMATS]
)
def test_images_of_any_form_keep_it(trial: Trial, form: str) -> None:
    """base <- sn1 with s1 inside (live)   becomes   base <- sn1 as at s1, whatever was written, zeroed, discarded."""
    trial.create_base(form=FORMATS[form])
    vm = trial.define().start()
    vm.disk().write("A", (0, 1, 2, 3))
    vm.disk().snapshot("sn1", form=FORMATS[form])
    vm.disk().write("B", (1,), ranges=((5 * 65536 + 4096, 8192),))
    trial.do(InternalSnapshot("s1"))
    trial.do(Write("vda", "C", (0,), ((5 * 65536, 8192),)), Zero("vda", (1,)), Discard("vda", (2,)))
    trial.verify("changed since")
    trial.do(RevertToSnapshot("s1"))

    trial.verify("gone back")


LATER: Mapping[str, Sequence[Act]] = {
    "committed back": (
        Snapshot("vda", "late"),
        Write("vda", "C", (1, 5)),
        ActiveCommit("vda", "base"),
        AwaitReady("vda"),
        Pivot("vda"),
    ),
    "commit into it": (
        Snapshot("vda", "late"),
        Write("vda", "C", (1, 5)),
        Snapshot("vda", "later"),
        Commit("vda", "late", "base"),
        AwaitCompleted("vda"),
    ),
    "overlay": (Snapshot("vda", "late"), Write("vda", "C", (1, 5))),
    "copied away": (Copy("vda", "copy"), AwaitReady("vda"), Pivot("vda"), Write("vda", "C", (1, 5))),
    "grown": (Resize("vda", 1 << 22), Write("vda", "C", (1, 5))),
    "reset": (Reset(), Write("vda", "C", (1,), flush=False)),
    "saved": (Save(), Restore()),
    "next libvirtd": (KillDaemon(), StartDaemon()),
    "killed": (Write("vda", "C", (1, 5), flush=False), KillQemu()),
    "forgotten": (DeleteSnapshot("s1", metadata_only=True), RedefineSnapshot("s1", current=True)),
    "unrecorded": (InternalSnapshot("s2", unrecorded=True), Write("vda", "C", (1, 5))),
    "halted": (InternalSnapshot("s2", halt=True),),
    "boot": (ShutOff(), Start()),
}
_NEEDS = {"overlay": ["internal-revert-below"], "commit into it": ["internal-revert-below"], "saved": ["restore"]}
_NEEDS["copied away"] = ["internal-revert-below"]
_DEFAULT = ("committed back", "killed")
ROWS = [
    pytest.param(
        what, marks=[pytest.mark.needs(*_NEEDS.get(what, [])), *([] if what in _DEFAULT else [pytest.mark.full])]
    )
    for what in LATER
]


@pytest.mark.parametrize("what", ROWS)
def test_it_is_gone_back_to_whatever_came_later(trial: Trial, what: str) -> None:
    """base with s1 inside (live), and then something   becomes   base as at s1 (live), with its guest."""
    trial.create_base()
    vm = trial.define().bring_up()
    vm.disk().write("A", (0, 1, 2))
    instant = vm.disk().content.guest()
    trial.do(RunInGuest("echo s1 >/run/token", "keeps a word in memory"), InternalSnapshot("s1"))
    vm.disk().write("B", (1, 2, 3))
    trial.do(*LATER[what])
    trial.verify("before")
    trial.do(RevertToSnapshot("s1"))

    assert vm.disk().content.guest() == instant
    assert vm.domain.agent.run("cat /run/token") == b"s1\n"
    trial.verify("gone back to s1")


def test_two_disks_are_of_one_instant(trial: Trial) -> None:
    """base and data with s1 inside (live)   become   base and data as at s1."""
    trial.create_base()
    trial.do(CreateImage("data", disk="vdb"))
    vm = trial.define().bring_up()
    trial.do(Write("vda", "A", (0, 1)), Write("vdb", "B", (2, 3), flush=False), InternalSnapshot("s1"))
    trial.do(Write("vda", "C", (1,)), Write("vdb", "D", (3, 4)), InternalSnapshot("s2"), Write("vdb", "E", (5,)))
    trial.verify("two instants")
    trial.do(RevertToSnapshot("s1"))
    trial.verify("the first")
    trial.do(RevertToSnapshot("s2"))

    trial.verify("the second")
    assert {disk.target for disk in vm.disks} == {"vda", "vdb"}


DELETED: Mapping[str, Sequence[Act]] = {
    "the newest": (DeleteSnapshot("s3"),),
    "the middle one": (DeleteSnapshot("s2"),),
    "the root": (DeleteSnapshot("s1"),),
    "all": (DeleteSnapshot("s1", children=True),),
    "children": (DeleteSnapshot("s1", children_only=True),),
    "off": (ShutOff(), DeleteSnapshot("s2", children=True)),
    "paused": (Suspend(), DeleteSnapshot("s2"), Resume()),
    "during a job": (Copy("vda", "copy"), AwaitReady("vda"), DeleteSnapshot("s2"), Pivot("vda")),
    "in turn": (DeleteSnapshot("s2"), InternalSnapshot("s2"), RevertToSnapshot("s1"), DeleteSnapshot("s3")),
}


@pytest.mark.parametrize(
    "which",
    [pytest.param(which, marks=[] if which == "all" else [pytest.mark.full]) for which in DELETED],
)
def test_what_is_deleted_is_gone_and_the_others_are_as_they_were(trial: Trial, which: str) -> None:
    """base with s1, s2, s3 inside (live)   becomes   base with those that are left inside."""
    vm, _ = _with_three(trial)
    trial.do(*DELETED[which])
    trial.verify("deleted")
    if vm.state.power is Power.OFF:
        trial.do(Start())
    vm.disk().write("X", (1, 7))

    trial.verify("written afterwards")


def _with_three(trial: Trial) -> tuple[Vm, dict[str, Parts]]:
    trial.create_base()
    vm = trial.define().bring_up()
    vda = vm.disk()
    instants: dict[str, Parts] = {}
    for number, cells in enumerate(((0, 1, 2), (1, 5), (2, 6)), 1):
        vda.write("ABC"[number - 1], cells)
        instants[f"s{number}"] = vda.content.guest()
        trial.do(RunInGuest(f"echo s{number} >/run/token", "keeps a word in memory"), InternalSnapshot(f"s{number}"))
    vda.write("D", (3,))
    return vm, instants
