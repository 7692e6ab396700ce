"""What is done, as data: five kinds of call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.oracle.geometry import Range

Argument = str | int | None


KEPT = "kept: "
"""Stands, before a name, for the XML that a snapshot of that name had when libvirt was told to forget it."""


@dataclass(frozen=True)
class Libvirt:
    """A function of libvirt's C API with its arguments by name and its flags without their common prefix.

    `vm` is the domain that it is called on. `xml` is the document among its arguments. `until` is the status of the
    disk's block-job event that ends it, "" if its return does. `fails` is a regular expression of what libvirt answers
    where the call must fail.
    """

    function: str
    vm: str
    args: Mapping[str, Argument] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    xml: str = ""
    until: str = ""
    fails: str = ""


@dataclass(frozen=True)
class Guest:
    """The guest of `vm` does something to a disk: `ranges` are bytes, `label` is that of the pattern it writes.

    With `flush`, the disk is flushed after it. `cell_size` is that of the disk, which patterns carry. A `script` is a
    shell's, and has no disk.
    """

    vm: str
    verb: Literal[
        "write",
        "zero",
        "discard",
        "fail_write",
        "begin_write",
        "end_write",
        "flush",
        "run",
        "freeze",
        "thaw",
        "end_agent",
    ]
    disk: str = ""
    ranges: tuple[Range, ...] = ()
    label: str = ""
    flush: bool = True
    cell_size: int = 0
    script: str = ""


Operation = Literal["read", "write", "flush", "discard"]
Error = Literal["EIO", "ENOSPC", "stall"]


@dataclass(frozen=True)
class Fault:
    """What is wrong with the file whose path ends with `name`: its `operation` fails with `error`.

    With the error "stall" it waits until all is well again. It is so for what begins in the bytes `first` to `last` of
    the file; so many `times`, or always if that is 0.
    """

    name: str
    operation: Operation
    error: Error = "EIO"
    times: int = 0
    first: int = 0
    last: int = 1 << 62


@dataclass(frozen=True)
class Host:
    """A command on the host, inside the stack; or a write of a pattern into an image that no VM uses (libguestfs).

    `made` is a file that the command makes for the command `then`, which is run next; it is removed afterwards.
    `serves` is a file that an NBD server serves from then on; `lets_go` is the name of one that it serves no longer;
    `pace` are the bytes a second that it lets pass, 0 for no limit. `device` is a block device that is made, of `size`
    bytes, which are foreign if there is a `label`; or without a size, one whose bytes are discarded.
    `fault` is one more that the storage has from then on; `heals`: it has none. `secret` is one that libvirt gets.
    """

    command: tuple[str, ...] = ()
    image: str = ""
    label: str = ""
    ranges: tuple[Range, ...] = ()
    cell_size: int = 0
    made: str = ""
    then: tuple[str, ...] = ()
    serves: str = ""
    lets_go: str = ""
    pace: int | None = None
    device: str = ""
    size: int = 0
    fault: Fault | None = None
    heals: bool = False
    secret: str = ""


@dataclass(frozen=True)
class Signal:
    """A signal to the daemon, or to the QEMU of a domain; "START" starts the daemon."""

    process: Literal["libvirtd", "qemu"]
    name: Literal["TERM", "KILL", "START", "UPGRADE"]
    vm: str = ""


@dataclass(frozen=True)
class Await:
    """Wait until the disk's job is `ready` or `completed`, or until the guest's writer has got on (`written`).

    `under way` is a job that has copied a part of what there is to copy: that of the disk, or else the VM's backup.
    `met` are faults of the storage; `stopped by an error` is a VM that one has paused.
    """

    vm: str
    status: Literal[
        "ready",
        "completed",
        "failed",
        "written",
        "backed up",
        "under way",
        "met",
        "stopped by an error",
    ]
    disk: str = ""


@dataclass(frozen=True)
class WentBack:
    """What a hand answers to a revert: where each disk lies then, and whether QEMU is the one that it was before."""

    places: Mapping[str, str]
    same_qemu: bool


Call = Libvirt | Guest | Host | Signal | Await


def chosen(**wanted: bool) -> tuple[str, ...]:
    """The names of the flags that are wanted, in this order."""
    return tuple(flag for flag, is_set in wanted.items() if is_set)
