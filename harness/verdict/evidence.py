"""What is kept when a scenario fails: one directory with all that a bug report needs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import libvirt

from harness.errors import ChainproofError
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.verdict.power_loss import keep_red_states


def collect(trial: Trial, failure: str, root: Path) -> Path:
    """Write the evidence of a failed trial into a directory of its own below `root` and return it.

    Never raises for a piece that cannot be had: the file then says why.
    """
    directory = root / re.sub(r"[^\w.-]+", "_", trial.name).strip("_")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    pieces: list[tuple[str, Callable[[], str]]] = [
        ("failure.txt", lambda: failure),
        ("versions.txt", lambda: f"{trial.daemon.stack}\ndaemon mode: {trial.daemon.mode}\n"),
        ("journal.txt", trial.journal.transcript),
        ("journal.jsonl", trial.journal.as_json_lines),
        ("events.txt", lambda: _events(trial)),
        ("libvirtd.log", lambda: trial.daemon.log.read_text(errors="replace")),
    ]
    pieces += [
        ("chain.json", lambda: _chain(trial)),
        ("processes.txt", trial.daemon.sandbox.processes),
        *((name, partial(_kept, trial.daemon.directory / name)) for name in ("sandbox.log", "storage-daemon.log")),
    ]
    for vm in trial.vms:
        # the first one's pieces keep the names that people look for
        before = "" if vm is trial.vms[0] else f"{vm.name}-"
        pieces += [(f"{before}{name}", piece) for name, piece in _of_vm(trial, vm)]
    for name, piece in pieces:
        (directory / name).write_text(_or_reason(piece))
    if trial.recording is not None and trial.recording.found is not None:
        keep_red_states(trial.recording.found, directory)
    return directory


def _of_vm(trial: Trial, vm: Vm) -> list[tuple[str, Callable[[], str]]]:
    domain = vm.domain
    return [
        ("domain-live.xml", domain.xml),
        ("domain-inactive.xml", lambda: domain.xml(inactive=True)),
        ("expected-table.txt", lambda: "\n".join(f"{disk}\n{disk.content.table()}" for disk in vm.all_disks)),
        ("qemu.log", lambda: trial.daemon.qemu_log(domain.name).read_text(errors="replace")),
        ("console.log", lambda: domain.console.read_text(errors="replace")),
        ("block-nodes.json", lambda: domain.monitor("query-named-block-nodes")),
        ("jobs.json", lambda: domain.monitor("query-jobs")),
    ]


def _kept(file: Path) -> str:
    return file.read_text(errors="replace")


def _or_reason(piece: Callable[[], str]) -> str:
    try:
        return piece()
    except (ChainproofError, libvirt.libvirtError, OSError, ValueError) as error:
        return f"(not to be had: {error})\n"


def _events(trial: Trial) -> str:
    events = trial.daemon.events.events[trial.first_event :]
    return "".join(f"{event.at:.3f} {event}\n" for event in events)


def _chain(trial: Trial) -> str:
    """The chain below every image that is there, as qemu-img tells it."""
    command = ["qemu-img", "info", "--backing-chain", "-U", "--output=json"]
    texts = []
    for path in trial.image_paths():
        done = trial.daemon.sandbox.run([*command, str(path)], timeout=30)
        texts.append(f"// {path}\n{done.output}")
    return "\n".join(texts)
