"""The small world that is explored: two disks, a few layers, a few cells; and what can be done in a state of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.acts.act import VM, Act, after_all
from harness.acts.backup import AwaitBackup, BeginBackup, EndBackup
from harness.acts.chain import (
    Abort,
    ActiveCommit,
    AwaitCompleted,
    AwaitReady,
    Commit,
    Copy,
    Pivot,
    Pull,
    Resize,
    SetSpeed,
    SetThreshold,
    Throttle,
)
from harness.acts.checkpoint import CreateCheckpoint, DeleteCheckpoint, RedefineCheckpoint
from harness.acts.device import Attach, Detach
from harness.acts.faults import KillDaemon, KillQemu, StartDaemon, StopDaemon
from harness.acts.guest import BeginWrite, Discard, EndWrite, Flush, Write, Zero
from harness.acts.images import (
    AddBitmap,
    CompressImage,
    CopyImage,
    CreateImage,
    DefineSecret,
    MakeDevice,
    RemoveImage,
    served,
)
from harness.acts.power import Define, Redefine, Reset, Resume, ShutOff, Start, Suspend, Undefine
from harness.acts.records import DeleteSnapshot, RedefineSnapshot
from harness.acts.revert import RevertToSnapshot
from harness.acts.saving import RemoveSaved, Restore, Save
from harness.acts.snapshot import InternalSnapshot, Snapshot
from harness.explore.ailing import breaking, next_of_ill
from harness.oracle.content import Content, Impossible
from harness.oracle.driver import DRIVER, Driver
from harness.oracle.geometry import Geometry, Range
from harness.oracle.image import QCOW2, Format, Qcow2, Raw
from harness.oracle.job import TWO_PHASES
from harness.oracle.parts import HOLE
from harness.oracle.secret import SECRETS
from harness.oracle.state import Power, State

DEVICES = "block-devices"
"""What a machine may offer, besides what releases do."""
MOST_LAYERS = 4
"""How long a chain may become."""
_MOST_UNUSED = 2  # images outside the chain
_MOST_CHECKPOINTS = 2
_MOST_INSIDE = 2
_MOST_DEVICES = 2
_OTHER_SECRET = SECRETS[1]
_SLOW = 1  # MiB a second: what there is to copy takes a few steps of a walk
_LARGER = 131072
_IOPS = 5000  # more than is done


@dataclass(frozen=True)
class Universe:
    """What a walk begins with: vda on base <- sn1 <- sn2, and vdb on data <- top, each layer with a write of its own.

    `cells` and `tail` (bytes) are the size of both disks, `format` is that of the images. Both have
    the same `driver`.
    """

    cells: int = 6
    tail: int = 0
    format: Format = QCOW2
    driver: Driver = DRIVER

    @property
    def geometry(self) -> Geometry:
        """That of both disks."""
        return Geometry(cells=self.cells, tail=self.tail)

    def set_up(self) -> tuple[Act, ...]:
        """The acts that make it."""
        size = self.geometry.cell_size
        secrets = map(DefineSecret, SECRETS) if self.format.secret else ()
        return (
            *secrets,
            CreateImage("base", "vda", self.geometry, self.format),
            CreateImage("data", "vdb", self.geometry, self.format),
            Define(driver=self.driver),
            Start(restored=True),
            Write("vda", "A", (0, 1, 2)),
            Write("vdb", "A", (0, 1)),
            Snapshot("vda", "sn1"),
            Write("vda", "B", (1, 3)),
            Snapshot("vda", "sn2"),
            Write("vda", "C", ranges=((2 * size + 4096, 8192),)),
            Snapshot("vdb", "top"),
            Write("vdb", "B", (1,)),
        )


def started(universe: Universe) -> State:
    """The state in which a world begins."""
    return after_all(State(), universe.set_up())


def possible(state: State, step: int, offers: Callable[[str], bool] = lambda _: True) -> tuple[Act, ...]:
    """The acts that can be done in `state` as the next `step` (from 1 on, which names what is written).

    They are what the universe has of candidates, without those whose own `after` says Impossible, and those of whose
    outcome a race decides. `offers` says whether the release has a capability (harness.stack.offers).
    """
    return tuple(act for act in _candidates(state, step, offers) if _can_be_done(act, state))


def _can_be_done(act: Act, state: State) -> bool:
    try:
        act.after(state)
    except Impossible:
        return False
    return True


def _candidates(state: State, step: int, offers: Callable[[str], bool]) -> Iterator[Act]:
    if state.broken:
        yield from next_of_ill(state, _fresh(state))
        return
    yield from breaking(state)
    disks = state.vm(VM).disks
    for target, content in disks.items():
        yield from _of_guest(target, content, f"W{step}", few=target != "vda")
    for target, content in disks.items():
        yield from _of_job(target, content)
        yield from _of_chain(state, target, content, offers, few=target != "vda")
    if "vda" in disks:
        yield CompressImage(disks["vda"].chain()[0])
    if offers("hotplug"):
        yield from (Attach("vdb"), Detach("vdb"))
    if "vda" in disks and offers("backup"):
        yield from _of_backup(state)
    if offers("external-snapshot-delete"):
        yield from (
            DeleteSnapshot(name)
            for name, record in state.vm(VM).snapshots.items()
            # of one that the disk does not go on in, libvirt leaves the overlay behind: a known bug
            if not record.inside and all(d in disks and over in disks[d].chain() for d, over in record.overlays.items())
        )
    if offers("external-snapshot-revert"):
        dests = tuple((disk, _fresh(state, number)) for number, disk in enumerate(disks))
        for name in state.vm(VM).snapshots:
            yield RevertToSnapshot(name, dests)
            yield RevertToSnapshot(name, dests, running=True)
    yield from _of_snapshots_inside(state)
    yield from (DeleteSnapshot(name, metadata_only=True) for name in list(state.vm(VM).snapshots)[-1:])
    yield from (RedefineSnapshot(name, current=True) for name in list(state.vm(VM).forgotten)[-1:])
    if len(disks) > 1 and all(len(content.chain()) < MOST_LAYERS for content in disks.values()):
        fresh, other = _fresh(state), _fresh(state, 1)
        yield Snapshot("vda", fresh, also=(("vdb", other),))
        yield Snapshot("vda", fresh, name=f"of-{fresh}", also=(("vdb", other),), quiesce=True)
        if offers("manual-snapshot"):
            yield Snapshot("vdb", other, manual=("vda",))
    yield from _of_service(state)
    yield from _of_power(state)
    if offers("restore"):
        yield from (Save(), Restore(), RemoveSaved())


def _of_backup(state: State) -> Iterator[Act]:
    """Backups and checkpoints of vda and of both disks; of the checkpoints there are, of the oldest and the newest."""
    machine = state.vm(VM)
    known = list(machine.checkpoints)
    fresh, files = _fresh(state), len(machine.disks["vda"].files())
    has_room = files - len(machine.disks["vda"].chain()) < _MOST_UNUSED
    yield from (BeginBackup(), EndBackup(), AwaitBackup())
    if len(known) < _MOST_CHECKPOINTS:
        name = next(name for number in range(len(known) + 1) if (name := f"ck{number}") not in known)
        yield CreateCheckpoint(name)
        if len(machine.disks) > 1:
            yield CreateCheckpoint(name, tuple(machine.disks))
        yield BeginBackup(tuple(machine.disks), checkpoint=name)
        if has_room:
            yield BeginBackup(dests=(fresh,), checkpoint=name)
        if state.secrets:
            yield BeginBackup(secret=_OTHER_SECRET)
        if state.secrets and has_room:
            yield BeginBackup(dests=(fresh,), secret=_OTHER_SECRET)
    forgotten = machine.disks["vda"].bitmaps.get(machine.disks["vda"].active, {}).keys() - machine.checkpoints.keys()
    yield from (RedefineCheckpoint(name, validate=True) for name in sorted(forgotten))
    for name in dict.fromkeys((*known[:1], *known[-1:])):
        yield DeleteCheckpoint(name)
        yield DeleteCheckpoint(name, children=True)
        yield DeleteCheckpoint(name, metadata_only=True)
        yield BeginBackup(since=name)
        if has_room:
            yield BeginBackup(dests=(fresh,), since=name)


def _of_snapshots_inside(state: State) -> Iterator[Act]:
    """Snapshots inside images: of a VM that is off, since a memory is a thousand writes; on the chain that there was.

    On another chain the header of the image is not what it was: a known bug.
    """
    machine = state.vm(VM)
    inside = {name: record for name, record in machine.snapshots.items() if record.inside}
    if len(inside) < _MOST_INSIDE and not machine.is_on and not machine.checkpoints:  # libvirt 9.0 refuses it then
        yield InternalSnapshot(next(name for number in range(len(inside) + 1) if (name := f"in{number}") not in inside))
    busy = any(content.job for content in machine.disks.values())
    for name, record in inside.items():
        if not busy:  # QEMU may refuse it because of the target, and libvirt 9.0 forgets the snapshot all the same
            yield DeleteSnapshot(name)
        if record.chains == {disk: content.chain() for disk, content in machine.disks.items()}:
            yield RevertToSnapshot(name)
            yield RevertToSnapshot(name, running=True, force=True)
            yield RevertToSnapshot(name, paused=True, force=True)


def _of_service(state: State) -> Iterator[Act]:
    """How vda is served, which no change of its chain changes: in turn, so that there is one act more in a state."""
    machine = state.vm(VM)
    if "vda" not in machine.throttled:
        yield Throttle("vda", _IOPS)
    elif "vda" not in machine.throttled_next:
        yield Throttle("vda", _IOPS, next_start=True)
    else:
        yield SetThreshold("vda", 1)


def _places(geometry: Geometry) -> Iterator[tuple[tuple[int, ...], tuple[Range, ...]]]:
    """Where sizes and offsets matter: a whole cluster, part of one, one end and the next beginning, the last one."""
    size, part = geometry.cell_size, geometry.part_size
    yield (1,), ()
    yield (), ((min(4, geometry.cells - 2) * size + 5 * part, part),)
    yield (), ((3 * size - part, 2 * part),)
    yield (geometry.cells - 1,), ()


def _of_guest(target: str, content: Content, label: str, *, few: bool) -> Iterator[Act]:
    whole, part, straddling, last = _places(content.geometry)
    yield Write(target, label, *straddling)
    if few:
        return
    yield Write(target, label, *whole)
    yield Write(target, label, *part, flush=False)
    yield Write(target, label, *last, flush=False)
    yield Zero(target, *whole)
    yield Zero(target, *straddling, flush=False)
    yield Discard(target, *whole)
    yield Discard(target, *straddling, flush=False)
    if content.unflushed:
        yield Flush(target)
    if not content.in_flight:
        yield BeginWrite(target, label, *part)
    yield EndWrite(target)


def _of_job(target: str, content: Content) -> Iterator[Act]:
    if races(content):  # it may have ended just now: there is nothing else that could not be too late
        yield AwaitCompleted(target)
    elif content.job is not None:
        yield from (AwaitReady(target), Pivot(target), Abort(target), SetSpeed(target, 0))


def _of_chain(
    state: State, target: str, content: Content, offers: Callable[[str], bool], *, few: bool
) -> Iterator[Act]:
    chain = content.chain()
    fresh = _fresh(state)
    if len(chain) < MOST_LAYERS:
        yield Snapshot(target, fresh)
    if state.secrets and len(chain) < MOST_LAYERS:
        yield Snapshot(target, fresh, secret=_OTHER_SECRET)
    if not few and len(state.devices) < _MOST_DEVICES and offers(DEVICES):  # whatever is called so next lies there
        yield MakeDevice(fresh)
    for below in chain[:-1]:
        yield ActiveCommit(target, below)
    if few:
        return
    # what libvirt makes on top of it is to be like it
    other = Qcow2(_LARGER, subclusters=offers("inherited-subclusters"))
    encrypted = Qcow2(secret=_OTHER_SECRET)
    if len(chain) > 1:
        yield ActiveCommit(target, chain[0], bandwidth=_SLOW)
        yield ActiveCommit(target, chain[0], delete=True)
        yield ActiveCommit(target, chain[-2], shallow=True, delete=True)
    for top, base in zip(chain[1:-1], chain[:-2], strict=True):
        yield Commit(target, top, base)
        yield Commit(target, top, base, bandwidth=_SLOW)
        yield Commit(target, top, base, shallow=True, delete=True)
        yield Commit(target, top, base, relative=True)
    yield Pull(target)
    yield Pull(target, plain=True)
    yield Pull(target, bandwidth=_SLOW)
    for below in chain[:-1]:
        yield Pull(target, below)
        yield Pull(target, below, relative=True)
    taken = {*chain, *state.vm(VM).backed_up_to}
    unused = [name for name in content.files() if name not in taken and not _is_target(content, name)]
    if len(unused) < _MOST_UNUSED:
        yield Copy(target, fresh)
        yield Copy(target, fresh, shallow=True)
        yield Copy(target, fresh, format=Raw())
        yield Copy(target, fresh, by_rebase=True)
        if offers("synchronous-writes"):
            yield Copy(target, fresh, synchronous=True)
        if state.secrets:
            yield Copy(target, fresh, format=encrypted)
        if not unused:
            yield CreateImage(fresh, target, format=other)
            yield CreateImage(fresh, target, format=Raw(), store=served(fresh))
            if len(chain) > 1 and content.job is None:
                yield CreateImage(fresh, target, backing=chain[-2])
        if len(chain) < MOST_LAYERS:
            yield Snapshot(target, fresh, name=f"of-{fresh}")
            if content.job is None and not any(_is_ready_overlay(content, name) for name in unused):
                # (during an active commit QEMU 5.2 lets nobody read the images between)
                yield CreateImage(fresh, target, format=other, backing=content.active)
                if state.secrets:
                    yield CreateImage(fresh, target, format=encrypted, backing=content.active)
                yield CreateImage(fresh, target, backing=content.active, relative=True)
    raws = [name for name in chain[:-1] if content.layer(name).format == Raw()]
    if raws and len(unused) < _MOST_UNUSED:
        yield CopyImage(raws[0], fresh)
    for name in unused:
        if _is_ready_overlay(content, name):
            yield Snapshot(target, name, reuse=True)
        yield Copy(target, name, shallow=content.layer(name).backing is not None, reuse=True)
        yield RemoveImage(name, target)
        if isinstance(content.layer(name).format, Qcow2) and offers("backup"):
            yield AddBitmap(name, "aside", target)
    if content.size == content.geometry.disk_size:
        yield Resize(target, content.size + content.geometry.cell_size)


def _of_power(state: State) -> Iterator[Act]:
    yield from (Suspend(), Resume(), StartDaemon(), KillDaemon(), StopDaemon(), Undefine(), Redefine())
    if not any(map(races, state.vm(VM).disks.values())):  # whether such a job ends before QEMU does, nobody can say
        yield from (ShutOff(), KillQemu(), Reset())
    yield Start(restored=True)


def races(content: Content) -> bool:
    """Whether a job is on that ends by itself: then nobody can say what the chain is at this moment."""
    return content.job is not None and content.job.kind not in TWO_PHASES


def _is_target(content: Content, name: str) -> bool:
    return content.job is not None and content.job.target == name


def _is_ready_overlay(content: Content, name: str) -> bool:
    layer = content.layer(name)
    is_empty = all(part is HOLE for part in layer.own)
    return layer.backing == content.active and layer.size == content.size and is_empty


def _fresh(state: State, skipped: int = 0) -> str:
    """The first of n1, n2, ... that no image has, after so many others."""
    taken = {name for machine in state.vms.values() for content in machine.known.values() for name in content.files()}
    free = [name for number in range(1, len(taken) + skipped + 2) if (name := f"n{number}") not in taken]
    return free[skipped]


def _healing(state: State) -> Iterator[Act]:
    """What comes next of the acts that bring a state to where nothing is on, and the guest runs."""
    machine = state.vm(VM)
    if state.broken:
        yield next(next_of_ill(state, _fresh(state)))
    elif state.daemon is None:
        yield StartDaemon()
    elif machine.backup:
        yield AwaitBackup() if machine.backup.push else EndBackup()
    elif machine.power is Power.PAUSED:
        yield Resume()
    elif not machine.persistent and not any(content.job for content in machine.disks.values()):
        yield Redefine()
    elif machine.power is Power.OFF:
        yield Restore() if machine.saved else Start(restored=True)
    else:
        for target, content in machine.disks.items():
            if content.in_flight:
                yield EndWrite(target)
            if content.job is not None:
                yield AwaitCompleted(target) if races(content) else Abort(target)


def until_healed(state: State) -> tuple[Act, ...]:
    """All acts that bring a state to where nothing is on, and the guest runs: possible after every fault."""
    acts: list[Act] = []
    while following := list(_healing(state)):
        for act in following:
            state = act.after(state)
            acts.append(act)
    return tuple(acts)


def ending(state: State) -> tuple[Act, ...]:
    """What ends a walk with a QEMU that is killed: it is not, while a job is on that may end just then by itself."""
    acts: list[Act] = []
    while state.broken:
        acts.append(next(next_of_ill(state, _fresh(state))))
        state = acts[-1].after(state)
    acts += [StartDaemon()] if state.daemon is None else []
    machine = state.vm(VM)
    acts += [AwaitCompleted(target) for target, content in machine.disks.items() if races(content)]
    if not machine.persistent:  # it would be gone: what is on is ended politely before
        return (*acts, *until_healed(after_all(state, acts)), KillQemu())
    return (*acts, KillQemu()) if machine.is_on else tuple(acts)


def merged(state: State) -> Sequence[Act]:
    """What folds every chain of a healed state into its base."""
    return [
        act
        for target, content in state.vm(VM).disks.items()
        if len(content.chain()) > 1
        for act in (ActiveCommit(target, content.chain()[0]), AwaitReady(target), Pivot(target))
    ]
