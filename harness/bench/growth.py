"""How cost grows: with the chain's length, with the data in a layer, with the disk's virtual size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from harness.bench.ways import Laps
from harness.detect.inner_run import inner_run
from harness.oracle.geometry import Geometry
from harness.trial.trial import Trial
from harness.waiting import now

NewTrial = Callable[[str], AbstractContextManager[Trial]]
LENGTHS = (2, 4, 8, 16, 32, 64)
DATA_MIB = (1, 4, 16, 64, 256, 1024)
VIRTUAL_MIB = (64, 1 << 10, 1 << 15, 1 << 20)
WORKERS = (1, 2, 4)
_CELLS_PER_MIB = 16


def merged(trial: Trial, geometry: Geometry, layers: Iterable[tuple[str, Iterable[int]]]) -> Laps:
    """Build `layers` (label, cells; base first) live, verify, merge them all into the base, verify again."""
    laps = Laps()
    trial.create_base(geometry)
    vda = trial.define().bring_up().disk("vda")
    for number, (label, cells) in enumerate(layers):
        if number:
            with laps.lap("snapshots"):
                vda.snapshot(f"sn{number}")
        with laps.lap("writes"):
            vda.write(label, cells)
    with laps.lap("verification"):
        trial.verify("merged next")
    with laps.lap("merge"), vda.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()
    with laps.lap("verification"):
        trial.verify("merged")
    return laps


def by_length(new: NewTrial) -> Iterator[tuple[str, Laps]]:
    """One cell of 64 KiB in each of 2 to 64 layers."""
    for length in LENGTHS:
        with new(f"{length} layers") as trial:
            yield f"{length} layers", merged(trial, Geometry(64), [(f"L{n}", (n,)) for n in range(length)])


def by_data(new: NewTrial) -> Iterator[tuple[str, Laps]]:
    """Two layers, each full of data."""
    for mib in DATA_MIB:
        cells = mib * _CELLS_PER_MIB
        with new(f"{mib} MiB a layer") as trial:
            everywhere = range(cells)
            yield f"{mib} MiB a layer", merged(trial, Geometry(cells), [("A", everywhere), ("B", everywhere)])


def by_virtual_size(new: NewTrial) -> Iterator[tuple[str, Laps]]:
    """The same four cells in each of two layers, on ever larger disks."""
    cells = Geometry().size
    for mib in VIRTUAL_MIB:
        with new(f"{mib} MiB virtual") as trial:
            geometry = Geometry(tail=(mib << 20) - cells)
            yield f"{mib} MiB virtual", merged(trial, geometry, [("A", range(4)), ("B", range(2, 6))])


def by_workers() -> Iterator[tuple[str, float]]:
    """Seconds for the commit scenarios, with so many pytest-xdist workers."""
    for workers in WORKERS:
        began = now()
        inner_run("-n", str(workers), "--dist", "worksteal", "scenarios/commit", timeout=600).check()
        yield f"{workers} workers", now() - began
