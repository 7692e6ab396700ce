"""The ways to do the documented procedure that are compared; each returns its phases in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import libvirt

from harness.errors import ChainproofError
from harness.oracle import pattern
from harness.oracle.documented import AFTER_SYNC_IS_BROKEN, LAYERS, T0, T1, T2, as_documented
from harness.oracle.geometry import Geometry
from harness.stack.events import EventKind
from harness.stack.sandbox import IMAGES
from harness.storage.images import file_image
from harness.trial.trial import Trial
from harness.vm.disk_port import DiskPort
from harness.vm.domain_xml import DiskSpec, domain_xml
from harness.vm.warm import NAME
from harness.waiting import now, wall_clock

SCRIPT = Path(__file__).with_name("procedure.sh")
CELL = 65536
_VDA = DiskSpec("vda", file_image(IMAGES, "base"))
_DISK_ONLY = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
_SNAPSHOT = """\
<domainsnapshot><disks><disk name='vda' snapshot='external'><source file='{}'/></disk></disks></domainsnapshot>
"""


@dataclass
class Laps:
    """Seconds by phase, in the order in which the phases began."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def lap(self, phase: str) -> Iterator[None]:
        """Add the time of the body to a phase."""
        began = now()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now() - began

    @property
    def total(self) -> float:
        """Seconds of all phases."""
        return sum(self.seconds.values())


Way = Callable[[Trial], Laps]


def harness(trial: Trial) -> Laps:
    """The procedure with full verification of T0, T1 and T2, through the harness."""
    laps = Laps()
    with laps.lap("start"):
        trial.create_base()
        vda = trial.define().bring_up().disk("vda")
    for number, (name, label, cells) in enumerate(LAYERS):
        if number:
            with laps.lap("snapshots"):
                vda.snapshot(name)
        with laps.lap("writes"):
            vda.write(label, cells)
    with laps.lap("verification"):
        assert as_documented(trial.verify("T0")) == T0
    with laps.lap("job"):
        job = vda.active_commit(into="base")
        job.wait_ready()
    with laps.lap("verification"):
        assert as_documented(trial.verify("T1")) == T1
    with laps.lap("pivot"):
        job.pivot()
    with laps.lap("writes"):
        vda.write(*AFTER_SYNC_IS_BROKEN)
    with laps.lap("verification"):
        assert as_documented(trial.verify("T2")) == T2
    return laps


def script(trial: Trial) -> Laps:
    """The shell script that a person would write."""
    xml = domain_xml(NAME, trial.machines.machine, [_VDA], IMAGES.parent)
    here = trial.daemon.sandbox.outside(IMAGES.parent)
    (here / "vm1.xml").write_text(xml)
    laps = Laps()
    with laps.lap("script"):
        trial.daemon.sandbox.run(["sh", "-c", SCRIPT.read_text(), "sh", "/export/vm1.xml"], timeout=300).check()
    handle = trial.daemon.connection.lookupByName(NAME)
    handle.destroy()
    handle.undefine()
    return laps


class SavedGuestGone(ChainproofError):
    """Another run has evicted the saved guest."""


def floor(trial: Trial) -> Laps:
    """The bare calls of libvirt's API on the same restored guest: no harness, no verification."""
    assert trial.machines.warm is not None
    connection, events = trial.daemon.connection, trial.daemon.events
    saved = trial.machines.warm.file_in_sandbox(trial.machines.machine, [_VDA], [Geometry().disk_size])
    laps = Laps()

    def write(port: DiskPort, label: str, cells: tuple[int, ...]) -> None:
        ranges = Geometry().stretches(cells)
        port.write("vda", ranges, pattern.marker(label, trial.run, ranges, CELL), flush=True)

    def await_event(kind: EventKind, status: str, since: int) -> None:
        events.wait(status, lambda event: event.kind is kind and event.status == status, since=since, timeout=60)

    with laps.lap("start"):
        create = ["qemu-img", "create", "-q", "-f", "qcow2", f"{IMAGES}/base.qcow2", str(12 * CELL)]
        trial.daemon.sandbox.run(create, timeout=60).check()
        handle = connection.defineXML(domain_xml(NAME, trial.machines.machine, [_VDA], IMAGES.parent))
        since = events.mark()
        try:
            connection.restoreFlags(str(saved), None, libvirt.VIR_DOMAIN_SAVE_RUNNING)
        except libvirt.libvirtError as error:
            handle.undefine()
            if not trial.machines.warm.file(trial.machines.machine, [_VDA], [Geometry().disk_size]).exists():
                raise SavedGuestGone(str(saved)) from error
            raise
        await_event(EventKind.AGENT_LIFECYCLE, "connected", since)
        port = DiskPort(trial.daemon.sandbox.outside(PurePosixPath(IMAGES.parent / f"{NAME}.disk")))
        port.adjust(round(wall_clock()))
    for number, (name, label, cells) in enumerate(LAYERS):
        if number:
            with laps.lap("snapshots"):
                handle.snapshotCreateXML(_SNAPSHOT.format(IMAGES / f"{name}.qcow2"), _DISK_ONLY)
        with laps.lap("writes"):
            write(port, label, cells)
    with laps.lap("job"):
        since = events.mark()
        handle.blockCommit("vda", f"{IMAGES}/base.qcow2", None, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)
        await_event(EventKind.BLOCK_JOB_2, "ready", since)
    with laps.lap("pivot"):
        handle.blockJobAbort("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
        await_event(EventKind.BLOCK_JOB_2, "completed", since)
    with laps.lap("writes"):
        write(port, *AFTER_SYNC_IS_BROKEN)
    port.close()
    handle.destroy()
    handle.undefine()
    return laps
