"""The commands of QMP: those that a libvirt knows and its QEMU has, and those that were sent."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath

from harness.stack.daemon import Daemon

_DRIVER = re.compile(r"(/\S*libvirt_driver_qemu\.so)$", re.MULTILINE)
_ABOUT_DISKS = re.compile(r"block|^job-|^query-jobs$|nbd-server|^transaction$|^drive-|snapshot|bitmap")
_SENT = re.compile(r'QEMU_MONITOR_SEND_MSG: .*?"execute":"([a-z0-9_-]+)"')

_PUT_TOGETHER = re.compile(r'"type":"([a-z0-9_-]+)"')


def known(daemon: Daemon) -> frozenset[str]:
    """The commands about disks that this libvirtd may send: QEMU has them, and their names are in its own text."""
    inside = daemon.sandbox.process(daemon.pid)
    driver = _DRIVER.search((inside / "maps").read_text())
    program = PurePosixPath(driver.group(1) if driver else daemon.stack.libvirtd).relative_to("/")
    text = (inside / "root" / program).read_bytes()
    printed = daemon.stack.ask_qemu(daemon.sandbox, "query-commands").check().stdout
    answers = [json.loads(line).get("return") for line in printed.splitlines()]
    has = {str(command["name"]) for answer in answers if isinstance(answer, list) for command in answer}
    return frozenset(name for name in has if _ABOUT_DISKS.search(name) and b"\0" + name.encode() + b"\0" in text)


def sent(daemon: Daemon, since: int) -> frozenset[str]:
    """The commands that its log names after byte `since`; it has them if the daemon is `monitored`."""
    with daemon.log.open(errors="replace") as log:
        log.seek(since)
        return frozenset(name for line in log for name in named(line))


def named(line: str) -> list[str]:
    """The command that a line of the log sends, and those that a transaction puts together."""
    found = _SENT.findall(line)
    return [*found, *_PUT_TOGETHER.findall(line)] if "transaction" in found else found
