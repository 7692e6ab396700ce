"""A block job as a value: what it changes, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from harness.oracle.layer import Parts

Kind = Literal["active-commit", "commit", "pull", "copy"]
"""libvirt's words for the kinds of job."""

TWO_PHASES: frozenset[Kind] = frozenset(("active-commit", "copy"))
"""The jobs that stay awake in sync, until they are pivoted or aborted; the others end by themselves."""


class Phase(StrEnum):
    """How far a job has come."""

    RUNNING = "running"  # it copies: what it writes to is in doubt
    READY = "ready"  # it is in sync: every write of the guest goes to its target, too


@dataclass(frozen=True)
class Job:
    """A job that writes to the image `target`.

    `top` is the highest layer that a commit folds, `base` what the target of a pull is backed by at the end (None:
    nothing). `settled` is what the target holds itself once the job has caught up with the guest; `began` is what it
    held before the job. `deletes`: libvirt removes the files of the layers that it folds when it has ended well.
    `meanwhile` are parts of clusters that the guest may have had allocated in the target before anybody knew of READY,
    which may have come before: what flushes the target by then does not hold for them. `relative`: the header that it
    writes at its end is to name the backing file relatively. `unheard`: for a while no daemon ran that could have told
    of its end.
    """

    kind: Kind
    target: str
    began: Parts
    settled: Parts
    top: str | None = None
    base: str | None = None
    phase: Phase = Phase.RUNNING
    deletes: bool = False
    meanwhile: frozenset[int] = frozenset()
    relative: bool = False
    unheard: bool = False

    def __str__(self) -> str:
        return f"the {self.kind} that writes to {self.target}"


@dataclass(frozen=True)
class End:
    """How a job has ended, of which libvirt must tell once; unless it is `certain`, once at most."""

    kind: Kind | Literal["backup"]
    how: Literal["completed", "canceled", "failed"]
    certain: bool = True

    def __str__(self) -> str:
        return f"{self.kind} {self.how}"
