"""The universal checks of the chain (O4, O9): wherever it is written, it is the one that the oracle expects."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath

from harness.errors import CheckFailed
from harness.oracle.chain import Chain, Image
from harness.trial.trial import Trial
from harness.vm.domain_xml import is_terminated


def chain_in_live_xml(trial: Trial) -> None:
    """O4: the running domain's XML has the chain."""
    _same_chain(trial, trial.domain.disk.chain(), "the live XML")


def end_of_chain_in_live_xml(trial: Trial) -> None:
    """O4: the chain in the running domain's XML ends in the terminator, an empty <backingStore/>."""
    if not is_terminated(trial.domain.xml(), trial.domain.disk.target):
        raise CheckFailed("the live XML ends the chain with <backingStore/>", "it leaves the end open")


def chain_in_definition(trial: Trial) -> None:
    """O4, O9: the persistent definition names the active layer; where it names more, the chain."""
    expected = trial.domain.disk.expected_chain()
    seen = trial.domain.disk.configured_chain()
    if len(seen) == 1 and seen.active == expected.active:
        return
    _same_chain(trial, seen, "the persistent definition")


def chain_in_qemu(trial: Trial) -> None:
    """O4: QEMU has a node for each image of the chain and for no other."""
    nodes = json.loads(trial.domain.monitor("query-named-block-nodes"))["return"]
    files = {PurePosixPath(node["file"]) for node in nodes if node["drv"] != "file" and node.get("file")}
    expected = {image.path for image in trial.domain.disk.expected_chain()}
    if files != expected:
        raise CheckFailed(f"QEMU has {names(expected)} open", f"it has {names(files)} (query-named-block-nodes)")


def chain_in_headers(trial: Trial) -> None:
    """O4: the images' own headers say the same, with the backing format."""
    active = trial.domain.disk.expected_chain().active
    infos = trial.qemu_img.info_chain(active.path)
    seen = Chain.of(*(Image(info.filename.stem, info.filename) for info in reversed(infos)))
    _same_chain(trial, seen, "the image headers (qemu-img info --backing-chain)")
    for info in infos:
        if info.backing_filename is not None and info.backing_format is None:
            raise CheckFailed("every header names its backing format", f"{info.filename} does not")


def chain_in_domblklist(trial: Trial) -> None:
    """O4: virsh domblklist names the active layer."""
    text = trial.daemon.virsh("domblklist", trial.domain.name).check().stdout
    active = trial.domain.disk.expected_chain().active
    found = re.search(rf"^\s*{trial.domain.disk.target}\s+(\S+)", text, re.MULTILINE)
    if found is None or found.group(1) != str(active.path):
        raise CheckFailed(f"domblklist shows {active.path}", text.strip())


def _same_chain(trial: Trial, seen: Chain, where: str) -> None:
    expected = trial.domain.disk.expected_chain()
    if seen != expected:
        raise CheckFailed(f"the chain in {where} is {expected}", str(seen), seen.difference(expected))


def names(paths: set[PurePosixPath]) -> str:
    """The names of files, for people."""
    return ", ".join(sorted(path.name for path in paths)) or "nothing"
