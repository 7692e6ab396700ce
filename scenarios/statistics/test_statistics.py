"""What libvirt tells of a disk, held to what is known of it: sizes, counters, bytes, the job that is on."""

from __future__ import annotations

from collections.abc import Callable

import libvirt
import pytest

from harness.oracle.image import Raw
from harness.trial.nouns import Disk, Job, Vm
from harness.trial.trial import Trial

_SLOW = 1 << 20  # bytes a second


@pytest.mark.parametrize("change", ["snapshot", "pull", "active commit", "copy"])
def test_counters_of_a_disk_go_on_when_its_chain_changes(trial: Trial, layered: Vm, change: str) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   another chain; the counters count the guest's requests alone."""
    vda = layered.disk("vda")
    before = _written(vda)

    vda.write("E", (0, 10))
    assert _written(vda) == before + 2 * vda.content.geometry.cell_size
    _CHANGES[change](vda)
    trial.verify("changed")

    assert _written(vda) == before + 2 * vda.content.geometry.cell_size
    answer = vda.ask("virDomainBlockStatsFlags")
    assert isinstance(answer, dict)
    assert answer["wr_bytes"] == _written(vda)


def test_the_size_that_is_told_is_that_of_the_disk(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live): capacity is the disk's, physical is the active file's."""
    vda = layered.disk("vda")

    vda.resize(1 << 20)
    trial.verify("resized")

    answer = vda.ask("virDomainGetBlockInfo")
    assert isinstance(answer, list)
    capacity, allocation, physical = answer
    file = trial.daemon.sandbox.outside(vda.vm.stage.state.path("cur")).stat()
    assert (capacity, physical) == (1 << 20, file.st_size)
    assert 0 < allocation <= physical
    assert vda.ask("virDomainGetDiskErrors") == {}


def test_a_peek_shows_the_bytes_of_the_active_file(trial: Trial) -> None:
    """base (live, raw): what the guest has flushed is what is read of the file."""
    trial.create_base(form=Raw())
    vda = trial.define().bring_up().disk("vda")

    vda.write("A", (1,))
    trial.verify("written")

    size = vda.content.geometry.cell_size
    assert vda.ask("virDomainBlockPeek", offset=size, size=4096) == vda.read()[size : size + 4096]


@pytest.mark.parametrize("flags", [(), ("BANDWIDTH_BYTES",)], ids=["MiB", "bytes"])
def test_a_job_is_told_of_while_it_is_on(trial: Trial, layered: Vm, flags: tuple[str, ...]) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   copy (live)."""
    vda = layered.disk("vda")

    with vda.copy("copy") as job:
        job.set_speed(_SLOW, in_bytes=True)
        answer = vda.ask("virDomainGetBlockJobInfo", *flags)
        assert isinstance(answer, dict)
        assert answer["type"] == libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COPY
        assert answer["bandwidth"] == (_SLOW if flags else 1)
        job.set_speed(0)
        job.wait_ready()
        answer = vda.ask("virDomainGetBlockJobInfo", *flags)
        assert isinstance(answer, dict)
        assert answer["cur"] == answer["end"] > 0
        job.pivot()

    trial.verify("pivoted")
    assert not vda.ask("virDomainGetBlockJobInfo")


def _written(disk: Disk) -> int:
    answer = disk.ask("virDomainBlockStats")
    assert isinstance(answer, tuple)
    return int(answer[3])


def _pivoted(job: Job) -> None:
    with job:
        job.wait_ready()
        job.pivot()


def _completed(job: Job) -> None:
    with job:
        job.wait_completed()


_CHANGES: dict[str, Callable[[Disk], None]] = {
    "snapshot": lambda disk: disk.snapshot("sn3"),
    "pull": lambda disk: _completed(disk.pull()),
    "active commit": lambda disk: _pivoted(disk.active_commit(into="base")),
    "copy": lambda disk: _pivoted(disk.copy("copy")),
}
