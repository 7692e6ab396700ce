"""The documented procedures that can be run and told step by step: their names, where they stand, what they claim."""

from __future__ import annotations

from dataclasses import dataclass

_KBASE = "https://libvirt.org/kbase/"


@dataclass(frozen=True)
class Procedure:
    """One procedure: the `file` in scenarios/procedure that does it, its claim, and the `page` that documents it."""

    file: str
    claim: str
    page: str


PROCEDURES = {
    "live-merge": Procedure(
        "test_live_merge.py",
        "the documented live merge keeps every byte",
        f"{_KBASE}merging_disk_image_chains.html (an entire chain into a single image)",
    ),
    "shorten-chain": Procedure(
        "test_shorten_chain.py",
        "the documented commit of the middle of a chain keeps every byte",
        f"{_KBASE}merging_disk_image_chains.html (reducing the length)",
    ),
    "full-backup": Procedure(
        "test_full_backup.py",
        "the documented backup is the disk of the instant",
        f"{_KBASE}live_full_disk_backup.html (push mode)",
    ),
    "backup-by-overlay": Procedure(
        "test_backup_by_overlay.py",
        "the documented copy of a base below an overlay is the disk of the instant, and the merge keeps every byte",
        f"{_KBASE}live_full_disk_backup.html (older libvirt)",
    ),
    "incremental-backup": Procedure(
        "test_incremental_backup.py",
        "the documented bitmaps say what was written, and the backups put together are the disk of each instant",
        f"{_KBASE}internals/incremental-backup.html",
    ),
    "manual-snapshot": Procedure(
        "test_manual_snapshot.py",
        "the documented snapshot made without libvirt keeps every byte, and every bitmap",
        f"{_KBASE}internals/incremental-backup.html (creating external snapshots manually)",
    ),
    "manual-storage": Procedure(
        "test_manual_storage.py",
        "the documented snapshot of a disk by its storage is of the instant of the other disk's, and of the memory",
        f"{_KBASE}snapshots.html (manual storage snapshotting)",
    ),
    "broken-chain": Procedure(
        "test_broken_chain.py",
        "the documented repair of a chain whose header names no format keeps every byte",
        f"{_KBASE}backing_chains.html (troubleshooting)",
    ),
}


def listed() -> str:
    """What `ci/run procedure --list` prints: a line for each."""
    width = max(map(len, PROCEDURES))
    return "\n".join(f"{name:{width}}  {each.claim}\n{'':{width}}  {each.page}" for name, each in PROCEDURES.items())


def claim_of(file: str, function: str) -> str:
    """What a scenario claims that is told step by step: a procedure's sentence, or else the words of its name."""
    known = next((each.claim for each in PROCEDURES.values() if each.file == file), None)
    return known or function.partition("[")[0].removeprefix("test_").replace("_", " ")
