"""libvirtd ends, by SIGKILL, at each moment when what it keeps on disk changes (--deaths); the next one must go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.acts.act import Act
from harness.acts.backup import BeginBackup, EndBackup
from harness.acts.chain import Abort, ActiveCommit, AwaitCompleted, AwaitReady, Commit, Copy, Pivot, Pull
from harness.acts.device import Attach, Detach
from harness.acts.guest import Write
from harness.acts.power import Redefine, Resume, ShutOff, Suspend, Undefine
from harness.acts.records import DeleteSnapshot
from harness.acts.revert import RevertToSnapshot
from harness.acts.saving import Save
from harness.acts.snapshot import InternalSnapshot, Snapshot
from harness.explore.mortal import Deaths
from harness.run import exploring

_READY = (ActiveCommit("vda", "base"), AwaitReady("vda"))
# what libvirtd writes nothing down for, such as a resize, has no moment
OPERATIONS: Mapping[str, tuple[Sequence[Act], Act]] = {
    "suspend": ((), Suspend()),
    "resume": ((Suspend(),), Resume()),
    "shut off": ((), ShutOff()),
    "snapshot": ((), Snapshot("vda", "n1")),
    "snapshot with a record": ((), Snapshot("vda", "n1", name="one")),
    "deletion of a snapshot": ((Snapshot("vda", "n1", name="one"),), DeleteSnapshot("one")),
    "internal snapshot": ((), InternalSnapshot("one")),
    "deletion of an internal snapshot": ((InternalSnapshot("one"),), DeleteSnapshot("one")),
    "revert": ((InternalSnapshot("one"), Write("vda", "X", (1,))), RevertToSnapshot("one")),
    "active commit": ((), ActiveCommit("vda", "base")),
    "pivot": (_READY, Pivot("vda")),
    "abort": (_READY, Abort("vda")),
    "copy": ((), Copy("vda", "n1")),
    "pivot of a copy": ((Copy("vda", "n1"), AwaitReady("vda")), Pivot("vda")),
    "end of a commit": ((Commit("vda", "sn1", "base", bandwidth=1),), AwaitCompleted("vda")),
    "end of a pull": ((Pull("vda", bandwidth=1),), AwaitCompleted("vda")),
    "detachment": ((), Detach("vdb")),
    "attachment": ((Detach("vdb"),), Attach("vdb")),
    "managed save": ((), Save()),
    "undefinition": ((), Undefine()),
    "definition": ((Undefine(),), Redefine()),
    "backup": ((), BeginBackup()),
    "end of a backup": ((BeginBackup(),), EndBackup()),
}


_NEEDS = {
    "backup": ["backup"],
    "end of a backup": ["backup"],
    "detachment": ["hotplug"],
    "attachment": ["hotplug"],
    "managed save": ["restore"],
    "deletion of a snapshot": ["external-snapshot-delete"],
}


@pytest.mark.parametrize(
    "operation", [pytest.param(name, marks=pytest.mark.needs(*_NEEDS.get(name, ()))) for name in OPERATIONS]
)
def test_the_next_libvirtd_goes_on_whenever_the_last_one_was_killed(deaths: Deaths, operation: str) -> None:
    """base <- sn1 <- sn2 and data <- top (live)   become   what the act makes of them, or stay that."""
    before, act = OPERATIONS[operation]

    exploring.hold_deaths(deaths, before, act)
