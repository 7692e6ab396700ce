"""virsh waits for a job until its --timeout, or until Ctrl-C: then it gives the job up, and nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.acts.act import Act
from harness.acts.chain import Abort, ActiveCommit, Copy, Pull
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

_SLOW = 65536  # bytes a second
JOBS: Mapping[str, tuple[str, Act, str]] = {
    "active commit": (
        f"blockcommit vm1 vda --active --base /export/images/base.qcow2 --bytes --bandwidth {_SLOW}",
        ActiveCommit("vda", "base", _SLOW, in_bytes=True),
        "Commit aborted",
    ),
    "copy": (
        "blockcopy vm1 vda --dest /export/images/copy.qcow2 --format qcow2 --transient-job"
        f" --bytes --bandwidth {_SLOW}",
        Copy("vda", "copy", bandwidth=_SLOW),
        "Copy aborted",
    ),
    "pull": (
        f"blockpull vm1 vda --bytes --bandwidth {_SLOW}",
        Pull("vda", bandwidth=_SLOW, in_bytes=True),
        "Pull aborted",
    ),
}


ROWS = [
    ("active commit", "timeout"),
    ("copy", "Ctrl-C"),
    *(
        pytest.param(*row, marks=pytest.mark.full)
        for row in (("active commit", "Ctrl-C"), ("copy", "timeout"), ("pull", "timeout"), ("pull", "Ctrl-C"))
    ),
]


@pytest.mark.parametrize(("kind", "way"), ROWS)
def test_a_job_that_virsh_gives_up_leaves_the_chain(trial: Trial, layered: Vm, kind: str, way: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays   base <- sn1 <- sn2 <- cur (live)."""
    vda = layered.disk("vda")
    before = vda.chain()
    line, means, words = JOBS[kind]
    waits = "--wait --verbose --timeout 1" if way == "timeout" else "--wait --verbose"

    with trial.hold(f"virsh {line} {waits}", means, ends=Abort("vda"), fails=True) as held:
        vda.write("E", (1, 9, 11))
        if way == "Ctrl-C":
            held.interrupt()

    assert held.done.stdout.strip() == words
    trial.verify("given up")
    assert vda.chain() == before
    vda.write("F", (0, 9))
    trial.verify("written to")
