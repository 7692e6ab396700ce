"""Why a VM cannot go on, in words: by what libvirt has told so far, by its processes and by its console."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.errors import how_ended
from harness.process import has_stopped
from harness.stack.events import Event, EventKind
from harness.stack.sandbox import Sandbox

_PANIC = "Kernel panic"
_IO_ERRORS = ("BLOCK_IO_ERROR", "GUEST_PANICKED")


def of_qemu(sandbox: Sandbox, pid: int, since: int) -> str:
    """How the QEMU with this pid inside has ended, or that it has stopped; or nothing. `since`: Sandbox.exit_status."""
    status = sandbox.exit_status(pid, since)
    if status is not None:
        return f"QEMU {how_ended(status)}"
    return "QEMU has stopped" if has_stopped(sandbox.process(pid)) else ""


def pause(events: Sequence[Event], name: str) -> str:
    """Why the VM `name` is paused, if it is, by its events since it was started."""
    mine = [event for event in events if event.domain == name]
    runs = [event for event in mine if event.status in ("suspended", "resumed")]
    if not runs or runs[-1].status != "suspended":
        return ""
    why = [str(event) for event in mine if event.kind is EventKind.IO_ERROR or event.status in _IO_ERRORS]
    return f"the VM is paused: {'; '.join([str(runs[-1]), *why[-2:]])}"


def panic(console: Path) -> str:
    """What the guest's kernel said when it panicked, if it did."""
    try:
        _, found, words = console.read_text(errors="replace").partition(_PANIC)
    except OSError:
        return ""
    return f"the guest has panicked: {found}{words.strip()}" if found else ""


def closed_port(events: Sequence[Event], name: str, port: str) -> str:
    """That the guest has closed a virtio-serial port, by QEMU's events since it was started."""
    told = [event.reason for event in events if event.domain == name and event.status == "VSERPORT_CHANGE"]
    changes = [change for change in map(json.loads, told) if change.get("id") == port]
    return "" if not changes or changes[-1].get("open") else "the guest's disk server has closed its port"
