"""Acts are values: their line in a scenario, their data and what they call are functions of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from harness.acts.act import Act, after_all, read
from harness.acts.asked import Ask
from harness.acts.backup import AwaitBackup, BeginBackup, ClientBackup, EndBackup
from harness.acts.calls import Libvirt
from harness.acts.chain import (
    Abort,
    ActiveCommit,
    AwaitCompleted,
    AwaitFailed,
    AwaitReady,
    AwaitUnderWay,
    Commit,
    Copy,
    FailPivot,
    Pivot,
    Pull,
    Resize,
    SetSpeed,
    SetThreshold,
    Throttle,
)
from harness.acts.checkpoint import CreateCheckpoint, DeleteCheckpoint, RedefineCheckpoint
from harness.acts.device import Attach, Detach
from harness.acts.faces import face_of
from harness.acts.faults import KillDaemon, KillQemu, StartDaemon, StopDaemon
from harness.acts.guest import (
    AwaitWritten,
    BeginWrite,
    Discard,
    EndAgent,
    EndWrite,
    FailWrite,
    Flush,
    Freeze,
    RunInGuest,
    Thaw,
    Write,
    Zero,
)
from harness.acts.images import (
    AddBitmap,
    AdoptImage,
    CompressImage,
    ConvertImage,
    CopyImage,
    CreateImage,
    DefineSecret,
    LeaveFile,
    MakeDevice,
    PaceServer,
    Rebase,
    RemoveFile,
    RemoveImage,
    WriteImage,
    served,
)
from harness.acts.power import Define, Redefine, Reset, Resume, ShutOff, Start, Suspend, Undefine
from harness.acts.records import DeleteSnapshot, RedefineSnapshot
from harness.acts.revert import RevertToSnapshot
from harness.acts.saving import RemoveSaved, Restore, Save
from harness.acts.snapshot import InternalSnapshot, Snapshot
from harness.acts.storage import AwaitFaults, AwaitStopped, BreakStorage, HealStorage
from harness.oracle.content import Impossible
from harness.oracle.driver import Driver
from harness.oracle.geometry import Geometry
from harness.oracle.image import File, Qcow2, Raw
from harness.oracle.state import Death, Power, State
from harness.tests.acts.test_use import ACTS
from harness.vm.hands import spelt

STORY: tuple[Act, ...] = (
    CreateImage("base", geometry=Geometry(cells=20), format=Qcow2(cluster_size=4096)),
    CreateImage("over", backing="base", format=Qcow2(cluster_size=131072, subclusters=True)),
    CreateImage("data", disk="vdb", format=Raw(), store=served("data")),
    WriteImage("base", "A", (0, 1)),
    RemoveImage("over"),
    CompressImage("base"),
    CreateImage("cur"),
    Rebase("cur", "base"),
    CreateImage("plain", format=Raw()),
    CopyImage("plain", "copied"),
    Define(driver=Driver("unsafe", iothread=True)),
    Start(restored=True),
    Write("vda", "B", (1,), ((8192, 4096),)),
    Write("vda", "C", (2,), flush=False),
    Zero("vda", (3,), as_data=True),
    Discard("vda", (4,)),
    Flush("vda"),
    BeginWrite("vda", "D", (5,)),
    EndWrite("vda"),
    RunInGuest("true", "does nothing"),
    Freeze(),
    Thaw(),
    AwaitWritten(),
    Snapshot("vda", "sn1"),
    Snapshot("vda", "sn2", name="snap", memory="/export/images/memory"),
    DeleteSnapshot("snap", metadata_only=True),
    RedefineSnapshot("snap", current=True),
    DeleteSnapshot("snap"),
    Snapshot("vda", "sn2", name="point", also=(("vdb", "other"),)),
    RevertToSnapshot("point", (("vda", "again"), ("vdb", "afresh"))),
    Start(),
    InternalSnapshot("inside"),
    RevertToSnapshot("inside", paused=True, force=True),
    Resume(),
    DeleteSnapshot("inside"),
    DeleteSnapshot("point"),
    PaceServer(4096),
    Copy("vdb", "far"),
    AwaitUnderWay("vdb"),
    PaceServer(0),
    Abort("vdb"),
    CreateImage("spare"),
    MakeDevice("logical", stale=True),
    DefineSecret("red"),
    AddBitmap("spare", "ck"),
    CreateImage("sn3", backing="sn1"),
    Snapshot("vda", "sn3", reuse=True),
    ActiveCommit("vda", "base", bandwidth=1),
    SetSpeed("vda", 0),
    AwaitReady("vda"),
    StopDaemon(),
    StartDaemon(upgraded=True),
    Abort("vda"),
    Commit("vda", "sn1", "cur"),
    AwaitCompleted("vda"),
    Pull("vda", "base"),
    AwaitCompleted("vda"),
    Copy("vda", "copy", shallow=True),
    AwaitReady("vda"),
    Pivot("vda"),
    Copy("vda", "lost"),
    BreakStorage("lost", "write", "ENOSPC"),
    AwaitFaults(),
    AwaitFailed("vda"),
    BreakStorage("copy", "write", times=1),
    FailWrite("vda", "E", (5,)),
    BeginWrite("vda", "F", (5,)),
    AwaitStopped("vda"),
    HealStorage(),
    Resume(),
    EndWrite("vda"),
    Copy("vda", "later"),
    AwaitReady("vda"),
    BreakStorage("later", "flush"),
    FailPivot("vda"),
    HealStorage(),
    Resize("vda", 1 << 22),
    BeginBackup(checkpoint="ck1"),
    EndBackup(),
    ClientBackup(("client",), "/export/images/kept"),
    CreateCheckpoint("ck2"),
    BeginBackup(dests=("inc",), since="ck1"),
    AwaitBackup(),
    DeleteCheckpoint("ck2", metadata_only=True),
    RedefineCheckpoint("ck2", validate=True),
    DeleteCheckpoint("ck1", children=True),
    LeaveFile(("touch", "/export/images/x"), "/export/images/x"),
    RemoveFile("/export/images/x"),
    Suspend(),
    Resume(),
    EndAgent(),
    Reset(),
    Throttle("vda", 5000),
    Throttle("vda", 5000, next_start=True),
    SetThreshold("vda", 1 << 20),
    Undefine(),
    Copy("vda", "older", bandwidth=65536, by_rebase=True),
    AwaitReady("vda"),
    Abort("vda"),
    Redefine(),
    KillDaemon(),
    StartDaemon(),
    CreateImage("more", disk="vdc"),
    Attach("vdc"),
    Detach("vdc"),
    Save(),
    RemoveSaved(),
    Start(),
    Save("/export/images/memory"),
    Restore(),
    Freeze(),
    KillQemu(),
    Start(),
    ShutOff(),
    ConvertImage("root", "/guest/root.ext4", Geometry(cells=64), vm="vm2"),
    AdoptImage("old", File(PurePosixPath("/export/images/old.qcow2")), Geometry(cells=64), vm="vm3"),
)
"""Every act once, in an order in which each is possible."""


def states() -> Iterator[tuple[Act, State]]:
    """Each act with the state that it is done in."""
    state = State()
    for act in STORY:
        yield act, state
        state = act.after(state)


def test_the_story_has_every_act() -> None:
    assert {type(act).__name__ for act in STORY} == ACTS


@pytest.mark.parametrize("act", STORY, ids=repr)
def test_its_line_and_its_data_make_it_again(act: Act) -> None:
    assert read(json.loads(json.dumps(act.data()))) == act
    assert repr(act).startswith(f"{type(act).__name__}(")
    assert str(act)


def test_its_line_leaves_out_what_is_as_by_default() -> None:
    assert repr(Snapshot("vda", "sn1")) == "Snapshot(disk='vda', overlay='sn1')"
    assert repr(ActiveCommit("vda", "base", vm="vm2")) == "ActiveCommit(disk='vda', into='base', vm='vm2')"
    assert Snapshot("vda", "sn1").data() == {"act": "Snapshot", "disk": "vda", "overlay": "sn1"}


def test_a_call_as_it_stands_is_made_again_and_is_never_done() -> None:
    act = Ask("virDomainBlockPull", {"disk": "vda", "bandwidth": None}, ("1073741824",))

    assert read(json.loads(json.dumps(act.data()))) == act
    with pytest.raises(Impossible):
        act.after(running())


def test_what_is_no_act_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no act 'Fly'; there are Abort, ActiveCommit"):
        read({"act": "Fly"})
    with pytest.raises(ValueError, match="Pivot cannot be made of"):
        read({"act": "Pivot", "height": 3})


SPECIAL = {
    "virDomainAttachDeviceFlags",
    "virDomainDefineXML",
    "virDomainDetachDeviceFlags",
    "virDomainRestore",
    "virDomainRestoreFlags",
    "virDomainSnapshotDelete",
}
"""Functions that take more than one call, which the hand makes."""


def test_every_call_of_libvirt_has_both_spellings() -> None:
    document = PurePosixPath("/export/document.xml")
    for act, state in states():
        call = act.call(state)
        if isinstance(call, Libvirt) and call.function not in SPECIAL:
            face = face_of(call)
            assert set(call.args) <= {name for name, _ in face.arguments} | set(face.parameters), act
            assert spelt(call, document)[:3] == ["virsh", face.verb, "vm1"]
            assert set(call.flags) <= set(face.flags), act


@pytest.mark.parametrize(
    ("act", "line"),
    [
        (ActiveCommit("vda", "base"), "virsh blockcommit vm1 vda --base /export/images/base.qcow2 --active"),
        (
            Commit("vda", "sn1", "cur", bandwidth=7),
            "virsh blockcommit vm1 vda --base /export/images/cur.qcow2 --top /export/images/sn1.qcow2 --bandwidth 7",
        ),
        (
            Commit("vda", "sn1", "cur", 65536, in_bytes=True, shallow=True, delete=True),
            "virsh blockcommit vm1 vda --top /export/images/sn1.qcow2 --bandwidth 65536 --shallow --delete --bytes",
        ),
        (Pull("vda", bandwidth=7, plain=True), "virsh blockpull vm1 vda --bandwidth 7"),
        (
            Copy("vda", "copy", shallow=True, bandwidth=7, granularity=4096, buffer=65536),
            "virsh blockcopy vm1 vda --xml /export/document.xml --bytes --bandwidth 7 --granularity 4096"
            " --buf-size 65536 --transient-job --shallow",
        ),
        (
            Copy("vda", "copy", format=Raw(), bandwidth=65536, by_rebase=True),
            "virsh blockcopy vm1 vda --dest /export/images/copy.qcow2 --bandwidth 65536 --raw --bytes",
        ),
        (Pivot("vda"), "virsh blockjob vm1 vda --abort --pivot"),
        (Pivot("vda", asynchronous=True), "virsh blockjob vm1 vda --abort --pivot --async"),
        (SetSpeed("vda", 65536, in_bytes=True), "virsh blockjob vm1 vda --bandwidth 65536 --bytes"),
        (Abort("vda"), "virsh blockjob vm1 vda --abort"),
        (SetSpeed("vda", 0), "virsh blockjob vm1 vda --bandwidth 0"),
        (Resize("vda", 4194304), "virsh blockresize vm1 vda 4194304B"),
        (
            Snapshot("vda", "sn1"),
            "virsh snapshot-create vm1 --xmlfile /export/document.xml --atomic --disk-only --no-metadata",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_call_is_typed_as_a_person_would(act: Act, line: str) -> None:
    call = act.call(running())

    assert isinstance(call, Libvirt)
    assert shlex.join(spelt(call, PurePosixPath("/export/document.xml"))) == line


def running() -> State:
    """A VM that runs on base."""
    state = State()
    for act in (CreateImage("base"), Define(), Start()):
        state = act.after(state)
    return state


IMPOSSIBLE: tuple[tuple[Act, str], ...] = (
    (Pivot("vda"), "there is no job"),
    (AwaitReady("vda"), "there is no job"),
    (Commit("vda", "base", "base"), "that takes an active commit"),
    (ActiveCommit("vda", "nowhere"), "nowhere is not in the chain base"),
    (Snapshot("vda", "base"), "the name base is taken"),
    (Snapshot("vdb", "sn1"), "vm1 has no disk vdb; it has vda"),
    (Snapshot("vda", "sn1", vm="vm2"), "vm2 is undefined"),
    (CreateImage("base", vm="vm2"), "the name base is taken"),
    (Define(), "vm1 is defined"),
    (Start(), "vm1 is running"),
    (Resume(), "vm1 is running"),
    (StartDaemon(), "libvirtd runs"),
    (DeleteSnapshot("snap"), "vm1 has no snapshot snap"),
    (EndBackup(), "has no backup"),
    (AwaitBackup(), "has no backup that ends by itself"),
    (BeginBackup(since="ck"), "vm1 has no checkpoint ck"),
    (DeleteCheckpoint("ck"), "vm1 has no checkpoint ck"),
    (EndWrite("vda"), "the guest has begun no write"),
    (Resize("vda", 512), "has no room for 12 cells"),
    (RemoveFile("/x"), "there is no file /x"),
    (WriteImage("base", "A", (0,)), "vm1 is running"),
    (ConvertImage("root", "/x", Geometry()), "vm1 has a disk vda"),
)


@pytest.mark.parametrize(("act", "why"), IMPOSSIBLE, ids=[repr(act) for act, _ in IMPOSSIBLE])
def test_what_cannot_be_done_is_impossible_and_says_why(act: Act, why: str) -> None:
    with pytest.raises(Impossible, match=why):
        act.after(running())


def test_without_a_daemon_only_the_guest_and_the_host_go_on() -> None:
    state = KillDaemon().after(running())

    assert Write("vda", "A", (0,)).after(state).disk("vm1", "vda").guest()[0] == "A"
    for act in (Snapshot("vda", "sn1"), ShutOff(), StopDaemon()):
        with pytest.raises(Impossible, match="no libvirtd runs"):
            act.after(state)


def test_a_paused_guest_does_nothing() -> None:
    paused = Suspend().after(running())

    assert paused.vm("vm1").power is Power.PAUSED
    with pytest.raises(Impossible, match="the guest of vm1 cannot do anything: vm1 is paused"):
        Write("vda", "A", (0,)).after(paused)
    assert Snapshot("vda", "sn1").after(paused).disk("vm1", "vda").chain() == ("base", "sn1")


def test_qemus_end_takes_what_was_not_flushed_and_counts_the_next_start() -> None:
    state = Write("vda", "A", (0,), flush=False).after(running())
    state = Start().after(KillQemu().after(state))

    assert (state.vm("vm1").boot, state.vm("vm1").qemu) == (2, 2)
    assert {part.value if not isinstance(part, str) else part for part in state.disk("vm1", "vda").guest()[:16]} == {
        "?"
    }


def test_what_libvirt_must_tell_of_a_vm_is_kept() -> None:
    """Its pauses, also the one for a snapshot of its memory; how each QEMU was ended; a backup's end."""
    state = running()
    for act in (
        Suspend(),
        Resume(),
        Snapshot("vda", "sn1", name="sn1", memory="/export/images/memory"),
        BeginBackup(),
        EndBackup(),
        ShutOff(),
        Start(),
        KillQemu(),
    ):
        state = act.after(state)

    assert state.vm("vm1").turns == ("suspended", "resumed") * 2
    assert state.vm("vm1").deaths == (Death.SHUT_OFF, Death.KILLED)
    assert [str(end) for end in state.disk("vm1", "vda").ends] == ["backup canceled"]


def test_a_saved_guest_is_restored_in_the_same_boot_with_all_that_it_wrote() -> None:
    written = Write("vda", "A", (0,), flush=False).after(running())
    saved = Save().after(written)
    restored = Restore().after(saved)

    assert (saved.vm("vm1").power, saved.vm("vm1").saved) == (Power.OFF, "managed")
    assert saved.disk("vm1", "vda").contains("base")[0] == "A"
    assert not saved.vm("vm1").may_leak
    assert (restored.vm("vm1").boot, restored.vm("vm1").qemu) == (1, 2)
    assert restored.vm("vm1").saved == ""


def test_nothing_else_is_started_or_changed_where_a_guest_was_saved() -> None:
    saved = Save().after(running())

    with pytest.raises(Impossible, match="libvirt has saved vm1: it would be restored"):
        Start().after(saved)
    with pytest.raises(Impossible, match="vm1 is saved"):
        WriteImage("base", "A", (0,)).after(saved)
    assert Start().after(RemoveSaved().after(saved)).vm("vm1").boot == 2


def with_vdb() -> State:
    """One with a second disk, which is not plugged in."""
    return CreateImage("data", "vdb").after(running())


def test_what_is_made_for_a_vm_that_is_defined_waits_to_be_plugged_in() -> None:
    state = with_vdb()

    assert set(state.vm("vm1").disks) == {"vda"}
    with pytest.raises(Impossible, match="vdb of vm1 is detached"):
        Write("vdb", "A", (0,)).after(state)
    attached = Attach("vdb").after(state)
    assert set(attached.vm("vm1").disks) == {"vda", "vdb"}
    assert Write("vdb", "A", (0,)).after(attached).disk("vm1", "vdb").guest()[0] == "A"


def test_what_is_unplugged_is_flushed_and_may_be_written_to_from_outside() -> None:
    begun = (Attach("vdb"), Throttle("vdb", 100), Write("vdb", "A", (0,), flush=False), Detach("vdb"))
    state = after_all(with_vdb(), begun)

    assert state.content("vm1", "vdb").unflushed == frozenset()
    assert state.vm("vm1").throttled == {}
    written = WriteImage("data", "X", (1,), disk="vdb").after(state)
    assert Attach("vdb").after(written).disk("vm1", "vdb").guest() != state.content("vm1", "vdb").guest()
    with pytest.raises(Impossible, match="the name data is taken"):
        Snapshot("vda", "data").after(state)


def test_the_guest_would_call_disks_otherwise_if_others_went_before() -> None:
    two = Attach("vdb").after(with_vdb())
    three = CreateImage("more", "vdc").after(two)

    for state, act, why in (
        (running(), Detach("vda"), "vda is the only disk of vm1"),
        (two, Detach("vda"), "without vda the guest would call vdb otherwise"),
        (CreateImage("more", "vdc").after(with_vdb()), Attach("vdc"), "without vdb the guest would call vdc otherwise"),
        (three, Attach("vdb"), "vdb of vm1 is not detached"),
        (Suspend().after(three), Attach("vdc"), "its guest must take part"),
        (BeginBackup().after(three), Attach("vdc"), "a backup of vda is on"),
        (BeginWrite("vdb", "A", (0,)).after(two), Detach("vdb"), "the guest has a write to vdb in flight"),
        (Copy("vdb", "copy").after(two), Detach("vdb"), "vdb cannot go during the copy"),
        (Snapshot("vdb", "over", name="s").after(two), Detach("vdb"), "libvirt has a record of s of vdb"),
    ):
        with pytest.raises(Impossible, match=why):
            act.after(state)


def test_from_a_file_it_is_restored_or_it_boots() -> None:
    saved = Save("/export/images/memory").after(running())

    assert PurePosixPath("/export/images/memory") in saved.files
    with pytest.raises(Impossible, match="libvirt has saved nothing of vm1"):
        RemoveSaved().after(saved)
    assert Restore().after(saved).vm("vm1").boot == 1
    booted = Start().after(saved)
    assert booted.vm("vm1").boot == 2
    with pytest.raises(Impossible, match="vm1 was not saved"):
        Restore().after(booted)


def test_nothing_is_saved_while_something_goes_on() -> None:
    for begun, why in (
        ((Copy("vda", "copy"),), "vm1 cannot be saved during the copy that writes to copy of vda"),
        ((BeginBackup(),), "a backup of vda is on"),
        ((BeginWrite("vda", "A", (0,)),), "its guest has a write to vda in flight"),
        ((Suspend(),), "vm1 is paused"),
    ):
        with pytest.raises(Impossible, match=why):
            Save().after(after_all(running(), begun))


def test_of_a_job_that_ends_while_no_daemon_runs_nobody_may_hear() -> None:
    state = running()
    for act in (Snapshot("vda", "sn1"), Pull("vda"), KillDaemon(), StartDaemon(), AwaitCompleted("vda")):
        state = act.after(state)

    assert [end.certain for end in state.disk("vm1", "vda").ends] == [False]


def test_where_there_is_no_write_cache_the_next_write_flushes_what_was_discarded() -> None:
    state = after_all(
        State(), (CreateImage("base"), Define(driver=Driver("directsync")), Start(), Write("vda", "A", (1,)))
    )
    discarded = after_all(state, (Discard("vda", (1,)), Flush("vda")))

    assert discarded.disk("vm1", "vda").unflushed
    assert not Write("vda", "B", (2,)).after(discarded).disk("vm1", "vda").unflushed


def test_no_snapshot_is_deleted_while_any_disk_has_a_job() -> None:
    state = after_all(State(), (CreateImage("base"), CreateImage("data", disk="vdb"), Define(), Start()))
    state = after_all(state, (Snapshot("vda", "sn1", name="s"), Snapshot("vdb", "top"), ActiveCommit("vdb", "data")))

    with pytest.raises(Impossible, match="a job of vdb is on"):
        DeleteSnapshot("s").after(state)


def test_an_image_is_as_large_as_what_it_is_put_on() -> None:
    state = after_all(running(), (Snapshot("vda", "sn1"), Resize("vda", 1 << 22), ShutOff()))
    act = CreateImage("n1", backing="base")

    assert act.call(state).command[-1] == str(act.after(state).disk("vm1", "vda").layer("n1").size)
