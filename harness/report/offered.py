"""What a libvirt offers for disks and their chains, by its Python binding; and what of it a scenario has used."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import libvirt

from harness.journal import DONE, Entry, Kind

REASONS = Path(__file__).resolve().with_name("uncovered.toml")
"""Why what is offered is not covered."""
_CLASSES = (libvirt.virDomain, libvirt.virDomainSnapshot, libvirt.virDomainCheckpoint)
_ABOUT_DISKS = re.compile(r"^virDomain\w*(Block|Snapshot|Checkpoint|Backup|Disk)\w*(?<!_pointer)$")
FLAGS: Mapping[str, str] = {
    "virDomainBlockCommit": "BLOCK_COMMIT_",
    "virDomainBlockCopy": "BLOCK_COPY_",
    "virDomainBlockPull": "BLOCK_PULL_",
    "virDomainBlockRebase": "BLOCK_REBASE_",
    "virDomainBlockJobAbort": "BLOCK_JOB_ABORT_",
    "virDomainGetBlockJobInfo": "BLOCK_JOB_INFO_",
    "virDomainBlockJobSetSpeed": "BLOCK_JOB_SPEED_",
    "virDomainBlockResize": "BLOCK_RESIZE_",
    "virDomainSnapshotCreateXML": "SNAPSHOT_CREATE_",
    "virDomainSnapshotDelete": "SNAPSHOT_DELETE_",
    "virDomainRevertToSnapshot": "SNAPSHOT_REVERT_",
    "virDomainListAllSnapshots": "SNAPSHOT_LIST_",
    "virDomainSnapshotGetXMLDesc": "SNAPSHOT_XML_",
    "virDomainCheckpointCreateXML": "CHECKPOINT_CREATE_",
    "virDomainCheckpointDelete": "CHECKPOINT_DELETE_",
    "virDomainListAllCheckpoints": "CHECKPOINT_LIST_",
    "virDomainCheckpointGetXMLDesc": "CHECKPOINT_XML_",
    "virDomainBackupBegin": "BACKUP_BEGIN_",
}
"""A function, and what the constants of its flags and typed parameters begin with, after VIR_DOMAIN_."""
_DOMAIN = "VIR_DOMAIN_"


class BadReasons(Exception):
    """The file of reasons cannot be read."""


def functions() -> frozenset[str]:
    """The C functions about disks that the binding calls: read from its methods, which name them."""
    methods = [method for each in _CLASSES for name, method in vars(each).items() if not name.startswith("_")]
    named = [name for method in methods if hasattr(method, "__code__") for name in method.__code__.co_names]
    return frozenset(name for name in named if _ABOUT_DISKS.match(name) and hasattr(libvirt.libvirtmod, name))


def offered() -> frozenset[str]:
    """What there is to use: each function, and "FUNCTION FLAG" for each of its flags and typed parameters."""
    known = functions()
    return known | {f"{function} {name}" for function in known & set(FLAGS) for name in _flags(function)}


def _flags(function: str) -> Iterator[str]:
    prefix = _DOMAIN + FLAGS[function]
    for name in dir(libvirt):
        if name.startswith(prefix):
            value = getattr(libvirt, name)
            yield value if isinstance(value, str) else name.removeprefix(prefix)


@dataclass(frozen=True)
class Used:
    """What a scenario has used: `verified` by a measurement of content after it, and `refused`, with one after it."""

    verified: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Used:
        """What the entries of a journal tell."""
        since: dict[bool, set[str]] = {True: set(), False: set()}
        held: dict[bool, set[str]] = {True: set(), False: set()}
        for entry in entries:
            since[entry.outcome == DONE].update(entry.uses)
            if entry.kind is Kind.TABLE:
                for done, uses in since.items():
                    held[done] |= uses
                    uses.clear()
        return cls(frozenset(held[True]), frozenset(held[False]))

    def __or__(self, other: Used) -> Used:
        return Used(self.verified | other.verified, self.refused | other.refused)


def reasons(file: Path = REASONS) -> Mapping[str, str]:
    """Patterns (as for file names) of what is not covered, and why. Raises BadReasons."""
    try:
        read = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise BadReasons(f"{file}: {error}") from error
    if not all(isinstance(why, str) and why for why in read.values()):
        raise BadReasons(f"{file}: each line is a pattern, quoted, and a reason, quoted")
    return read


@dataclass(frozen=True)
class Covered:
    """What is offered, held against what was used: `gaps` have no reason, and `stale` reasons are needed no more."""

    offered: frozenset[str]
    used: Used
    reasons: Mapping[str, str]

    def reason(self, item: str) -> str:
        """Why an item is not covered, "" if nobody says."""
        return next((why for pattern, why in self.reasons.items() if fnmatchcase(item, pattern)), "")

    @property
    def verified(self) -> list[str]:
        """What was done, and content verified after it."""
        return sorted(self.offered & self.used.verified)

    @property
    def explained(self) -> dict[str, str]:
        """What was not, and why."""
        missing = sorted(self.offered - self.used.verified)
        return {item: self.reason(item) for item in missing if self.reason(item)}

    @property
    def gaps(self) -> list[str]:
        """What was not, and nobody says why."""
        return sorted(item for item in self.offered - self.used.verified if not self.reason(item))

    @property
    def stale(self) -> list[str]:
        """The patterns of reasons for what is covered, all of it, or not offered at all."""
        missing = self.offered - self.used.verified
        return sorted(each for each in self.reasons if not any(fnmatchcase(item, each) for item in missing))
