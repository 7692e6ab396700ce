"""The same thing again and again, as a nightly backup does it: nothing of QEMU's or libvirtd's may grow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from harness.detect.growth import Size, growth, require_steady
from harness.run.properties import REMARK
from harness.trial.nouns import Disk, Vm
from harness.trial.trial import Trial

ROUNDS = 25
_SETTLED = 5  # rounds after which all is there that is needed once


def _commit(disk: Disk, overlay: str) -> None:
    with disk.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()
    disk.remove(overlay)


def _pull(disk: Disk, _: str) -> None:
    below = disk.content.chain()[-2]
    with disk.pull() as job:
        job.wait_completed()
    disk.remove(below)


WAYS: Mapping[str, Callable[[Disk, str], None]] = {"snapshot and commit": _commit, "snapshot and pull": _pull}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_grows_over_many_rounds(trial: Trial, vm: Vm, way: str, record_property: Callable[..., None]) -> None:
    """base (live)   becomes   base <- n (live), and is folded again, so many times; the node count is a check's."""
    vda = vm.disk("vda")
    sizes: list[tuple[Size, Size, int]] = []

    for number in range(ROUNDS):
        vda.write(f"A{number}", (number % 12,))
        vda.snapshot(f"n{number}")
        vda.write(f"B{number}", ((number + 5) % 12,))
        WAYS[way](vda, f"n{number}")
        sizes.append(_sizes(trial, vm))

    trial.verify("after the last round")
    assert len(vda.chain()) == 1
    for name, of_it in (("libvirtd", [size[0] for size in sizes]), ("QEMU", [size[1] for size in sizes])):
        for line in growth(of_it):
            record_property(REMARK, f"{name}, {way}: {line}")
    require_steady([_counts(size) for size in sizes], _SETTLED)


def _sizes(trial: Trial, vm: Vm) -> tuple[Size, Size, int]:
    """Of libvirtd, and of QEMU, with the number of its block nodes."""
    daemon = trial.daemon
    process = daemon.sandbox.process
    nodes = len(json.loads(vm.domain.monitor("query-named-block-nodes"))["return"])
    return Size.of(process(daemon.pid)), Size.of(process(vm.domain.qemu_pid)), nodes


def _counts(size: tuple[Size, Size, int]) -> dict[str, int]:
    """What is to stay exactly as it is; threads come and go, and memory is told."""
    libvirtd, qemu, nodes = size
    return {"libvirtd's descriptors": libvirtd.descriptors, "QEMU's descriptors": qemu.descriptors, "nodes": nodes}
