"""What can be seen of VMs from outside, to settle what became of an act: by what it is about, as words to compare."""

from __future__ import annotations

from contextlib import suppress

import libvirt

from harness.oracle.state import Power, State
from harness.storage.stores import printed
from harness.trial.stage import Sighting
from harness.vm.domain import Domain
from harness.vm.domain_view import backing_chain, has_mirror, targets
from harness.vm.hands import Things

_POWERS = {libvirt.VIR_DOMAIN_RUNNING: Power.RUNNING.value, libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED.value}


def expected(state: State) -> Sighting:
    """What is to be seen of a state."""
    sight = {"libvirtd": "down" if state.daemon is None else "up"}
    if state.daemon is None:
        return sight
    for name, vm in state.vms.items():
        sight[name] = vm.power.value if vm.is_on else "off"
        if vm.persistent or vm.is_on:
            sight[f"snapshots of {name}"] = ", ".join(sorted(vm.snapshots)) or "none"
        if vm.is_on:
            sight[f"definition of {name}"] = "there" if vm.persistent else "none"
            sight[f"job of {name}"] = "on" if vm.backup else "none"
        for target, content in vm.disks.items():
            if not vm.is_on:
                continue
            sight[f"{name} {target}"] = " <- ".join(printed(state.store(image)) for image in content.chain())
            is_on = content.job is not None or (vm.backup is not None and target in vm.backup.disks)
            sight[f"job of {name} {target}"] = "on" if is_on else "none"
    return sight


def seen(things: Things, *, daemon_runs: bool) -> Sighting:
    """What is seen now."""
    sight = {"libvirtd": "up" if daemon_runs else "down"}
    if not daemon_runs:
        return sight
    for name, domain in things.domains.items():
        sight[name] = "off"
        with suppress(libvirt.libvirtError):  # a transient one is gone with its QEMU
            found = domain.call(
                "the snapshots", lambda handle: [str(one.getName()) for one in handle.listAllSnapshots()]
            )
            sight[f"snapshots of {name}"] = ", ".join(sorted(found)) or "none"
        if not domain.is_running():
            continue
        sight[name] = _POWERS.get(domain.state()[0], "unknown")
        is_defined = domain.call("isPersistent", lambda handle: handle.isPersistent())
        sight[f"definition of {name}"] = "there" if is_defined else "none"
        sight[f"job of {name}"] = _job(domain)
        xml = domain.xml()
        for target in targets(xml):
            sight[f"{name} {target}"] = " <- ".join(map(printed, backing_chain(xml, target)))
            job = domain.call("blockJobInfo", lambda handle, target=target: handle.blockJobInfo(target))  # type: ignore[misc]
            sight[f"job of {name} {target}"] = "on" if job else "ending" if has_mirror(xml, target) else "none"
    return sight


def _job(domain: Domain) -> str:
    """Whether it has a job of its own; what libvirt says instead, if it cannot tell."""
    try:
        kind = domain.call("jobInfo", lambda handle: handle.jobInfo())[0]
    except libvirt.libvirtError as error:
        return str(error)
    return "none" if kind == libvirt.VIR_DOMAIN_JOB_NONE else "on"
