"""What can be seen of VMs from outside, to settle what became of an act: by what it is about, as words to compare."""

from __future__ import annotations

from harness.oracle.state import State
from harness.storage.stores import printed
from harness.trial.stage import Sighting
from harness.vm.domain_view import backing_chain, has_mirror, targets
from harness.vm.hands import Things


def expected(state: State) -> Sighting:
    """What is to be seen of a state."""
    sight = {"libvirtd": "down" if state.daemon is None else "up"}
    if state.daemon is None:
        return sight
    for name, vm in state.vms.items():
        sight[name] = "on" if vm.is_on else "off"
        for target, content in vm.disks.items():
            if not vm.is_on:
                continue
            sight[f"{name} {target}"] = " <- ".join(printed(state.store(image)) for image in content.chain())
            sight[f"job of {name} {target}"] = "none" if content.job is None else "on"
    return sight


def seen(things: Things, *, daemon_runs: bool) -> Sighting:
    """What is seen now."""
    sight = {"libvirtd": "up" if daemon_runs else "down"}
    if not daemon_runs:
        return sight
    for name, domain in things.domains.items():
        sight[name] = "on" if domain.is_running() else "off"
        if not domain.is_running():
            continue
        xml = domain.xml()
        for target in targets(xml):
            sight[f"{name} {target}"] = " <- ".join(map(printed, backing_chain(xml, target)))
            job = domain.call("blockJobInfo", lambda handle, target=target: handle.blockJobInfo(target))  # type: ignore[misc]
            sight[f"job of {name} {target}"] = "on" if job else "ending" if has_mirror(xml, target) else "none"
    return sight
