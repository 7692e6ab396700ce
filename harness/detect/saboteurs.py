"""The table of saboteurs: all that is broken on purpose, and what is to notice it."""

from __future__ import annotations

from harness.detect import (
    dying,
    of_checkpoints,
    of_daemons,
    of_events,
    of_files,
    of_images,
    of_jobs,
    of_libvirt,
    of_programs,
    of_qemu,
    of_snapshots,
    of_tools,
    of_writes,
)
from harness.detect.saboteur import Family, Saboteur

ON_A_VM: tuple[Saboteur, ...] = (
    *of_images.ROWS,
    *of_files.ROWS,
    *of_jobs.ROWS,
    *of_snapshots.ROWS,
    *of_checkpoints.ROWS,
    *of_libvirt.ROWS,
    *of_events.ROWS,
    *of_qemu.ROWS,
    *of_tools.ROWS,
)
"""Those that do their work in a trial of a daemon that they leave as it was."""
ON_A_DAEMON: tuple[Saboteur, ...] = of_daemons.ROWS
"""Those that need a daemon of their own."""
IN_QEMU: tuple[Saboteur, ...] = of_writes.ROWS
"""Those that need a daemon with a saboteur that is loaded into its QEMUs."""
ELSEWHERE: tuple[Saboteur, ...] = (*of_programs.ROWS, *dying.ROWS)
"""Those that have a test of their own."""
SABOTEURS: tuple[Saboteur, ...] = (*ON_A_VM, *ON_A_DAEMON, *IN_QEMU, *ELSEWHERE)


def named(name: str) -> Saboteur:
    """The saboteur of this name; raises ValueError if there is none."""
    found = next((saboteur for saboteur in SABOTEURS if saboteur.name == name), None)
    if found is None:
        raise ValueError(f"there is no saboteur {name!r}")
    return found


def of(family: Family) -> list[Saboteur]:
    """Those of a family."""
    return [saboteur for saboteur in SABOTEURS if saboteur.family is family]
