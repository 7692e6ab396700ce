"""What is done behind libvirt's back, or the oracle's: to QEMU, to the guest, to what libvirt keeps on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt
import libvirt_qemu

from harness.trial.trial import Trial
from harness.vm.domain import Domain


@contextmanager
def another_domain(trial: Trial) -> Iterator[None]:
    """For the body, libvirt has a domain that no scenario defined."""
    xml = re.sub(r"<uuid>.*</uuid>", "", trial.vm().xml(inactive=True)).replace("<name>vm1", "<name>stray")
    stray = trial.daemon.connection.defineXML(xml)
    try:
        yield
    finally:
        stray.undefine()


def start_other_qemu(domain: Domain) -> None:
    """End QEMU and start another one for the same domain, behind the oracle's back."""
    domain.call("destroy", lambda handle: handle.destroy())
    domain.call("create", lambda handle: handle.create())


def qmp(domain: Domain, command: str, **arguments: object) -> None:
    """Have QEMU do something behind libvirt's back."""
    text = json.dumps({"execute": command, "arguments": arguments})
    answer = domain.call(command, lambda handle: libvirt_qemu.qemuMonitorCommand(handle, text, 0))
    if "error" in json.loads(answer):
        raise AssertionError(f"{text}: {answer}")


def throttle(domain: Domain, target: str) -> None:
    """Have QEMU slow a disk down, by libvirt's own means."""
    limits = {"total_iops_sec": 100000}
    domain.call("the limits", lambda handle: handle.setBlockIoTune(target, limits, libvirt.VIR_DOMAIN_AFFECT_LIVE))


def write_into_log(domain: Domain, words: str) -> None:
    """Add a line to the log of QEMU, as glibc does when it finds a process's memory broken."""
    with domain.daemon.qemu_log(domain.name).open("a") as log:
        log.write(f"{words}\n")


def reboot(domain: Domain) -> None:
    """Reset the guest behind the oracle's back."""
    since = domain.daemon.events.mark()
    domain.call("the reset", lambda handle: handle.reset(0))
    domain.wait_agent(since, timeout=30)


def refused_pivot(domain: Domain) -> None:
    """Ask for the pivot of a job that there is not: the daemon logs an error."""
    flags = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT
    try:
        domain.call("the pivot", lambda handle: handle.blockJobAbort("vda", flags))
    except libvirt.libvirtError:
        return
    raise AssertionError("a pivot without a job was not refused")


def lose_running_state(trial: Trial) -> None:
    """Remove what the stopped libvirtd kept of running VMs: the next one starts on an empty state directory."""
    for file in _running_state(trial):
        file.unlink()


def forget_jobs(trial: Trial) -> None:
    """Remove the block jobs from what the stopped libvirtd kept of running VMs."""
    for file in _running_state(trial):
        file.write_text(re.sub(r"<blockjobs.*</blockjobs>", "<blockjobs active='no'/>", file.read_text(), flags=re.S))


def forget_layer(trial: Trial, image: str, below: str) -> None:
    """Put `below` in the place of `image` in all that libvirtd has on disk of the VM: what the next one will read."""
    for file in [*_running_state(trial), *(trial.daemon.directory / "etc").rglob("vm1.xml")]:
        file.write_text(file.read_text().replace(f"/{image}.", f"/{below}."))


@contextmanager
def left_beside(domain: Domain, kind: str = "left") -> Iterator[None]:
    """For the body, another file of this `kind` lies where libvirt has the definition of the domain."""
    file = domain.daemon.directory / f"etc/qemu/{domain.name}.{kind}"
    file.touch()
    try:
        yield
    finally:
        file.unlink()


def open_the_end(trial: Trial) -> None:
    """Take the terminator of the chain out of what the stopped libvirtd kept of running VMs."""
    for file in _running_state(trial):
        file.write_text(file.read_text().replace("<backingStore/>", ""))


def _running_state(trial: Trial) -> list[Path]:
    kept = list((trial.daemon.directory / "var/run").rglob("vm1.xml"))
    if not kept:
        raise ValueError("libvirtd has kept nothing of the running VM")
    return kept
