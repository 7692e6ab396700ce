"""The documented procedure's layers, and what the document says that each contains and shows."""

from __future__ import annotations

from harness.oracle.table import Table

Documented = dict[str, tuple[str, str]]
"""Image to what it contains and what it shows, a letter per cell; the guest has no file to contain anything."""

LAYERS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("base", "A", (0, 1, 2, 3)),
    ("sn1", "B", (2, 3, 4, 5)),
    ("sn2", "C", (5, 6, 7, 8)),
    ("cur", "D", (0, 8, 9)),
)
"""Image, label and cells of the marker that is written while it is the active layer."""

AFTER_SYNC_IS_BROKEN = ("E", (0, 10))
"""Label and cells of what the guest writes last."""

T0: Documented = {
    "base": ("AAAA--------", "AAAA--------"),
    "sn1": ("--BBBB------", "AABBBB------"),
    "sn2": ("-----CCCC---", "AABBBCCCC---"),
    "cur": ("D-------DD--", "DABBBCCCDD--"),
    "guest": ("", "DABBBCCCDD--"),
}
T1: Documented = {
    "base": ("DABBBCCCDD--", "DABBBCCCDD--"),
    "sn1": ("--BBBB------", "DABBBBCCDD--"),
    "sn2": ("-----CCCC---", "DABBBCCCCD--"),
    "cur": ("D-------DD--", "DABBBCCCDD--"),
    "guest": ("", "DABBBCCCDD--"),
}
T2: Documented = {
    "base": ("EABBBCCCDDE-", "EABBBCCCDDE-"),
    "sn1": ("--BBBB------", "EABBBBCCDDE-"),
    "sn2": ("-----CCCC---", "EABBBCCCCDE-"),
    "cur": ("D-------DD--", "DABBBCCCDDE-"),
    "guest": ("", "EABBBCCCDDE-"),
}


def as_documented(table: Table) -> Documented:
    """A table in the document's letters."""
    return {row.name: (table.drawn(row.contains), table.drawn(row.shows)) for row in table.rows}
