"""Whether a VM starts again from its persistent definition, on the chain that it had: looked at when all is over.

It is started without its guest (START_PAUSED), which need not run: the images have been held to the oracle, and QEMU is
to have them in the right order.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.acts.power import Start
from harness.oracle.content import Impossible
from harness.oracle.image import Nbd
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.verdict.chain_checks import chain_in_live_xml, chain_in_qemu, disks, end_of_chain_in_live_xml
from harness.verdict.check import Subject
from harness.verdict.finding import ChecksFailed, Finding
from harness.verdict.node_checks import nodes_of_images, options_of_nodes
from harness.verdict.sight import Sight

NAME = "started again"
_PER_VM = (disks, chain_in_qemu, nodes_of_images, options_of_nodes)


def start_again(trial: Trial) -> list[str]:
    """Start each VM, look, and shut it off; all must be off before.

    Returns, for each VM that cannot be started, why. Raises ChecksFailed, DomainFailed.
    """
    why_not = {vm.name: _why_not(trial, vm) for vm in trial.vms}
    findings = [finding for vm in trial.vms if not why_not[vm.name] for finding in _seen(trial, vm)]
    if findings:
        raise ChecksFailed("each VM starts again from its definition, on the chain that it had", findings)
    return sorted(f"{name}: {why}" for name, why in why_not.items() if why)


def _why_not(trial: Trial, vm: Vm) -> str:
    if vm.state.saved:
        return "it is saved, and would go on where it was"
    try:
        started = Start(vm=vm.name).after(trial.state)
    except Impossible as error:
        return str(error)
    limits = started.vm(vm.name).throttled
    return "" if limits == vm.state.throttled else "its limits are others than those of the run before"


def _seen(trial: Trial, vm: Vm) -> Iterator[Finding]:
    vm.domain.start_paused()
    try:
        sight = Sight(trial)
        for look in _PER_VM:
            yield from look(Subject(sight, NAME, vm))
        for disk in vm.disks:
            yield from chain_in_live_xml(Subject(sight, NAME, vm, disk))
            # libvirt does not look into what it has open over the network, and leaves its end as the definition has it
            if not isinstance(disk.image(disk.content.chain()[0]).store, Nbd):
                yield from end_of_chain_in_live_xml(Subject(sight, NAME, vm, disk))
    finally:
        vm.domain.shut_off()
        vm.domain.await_shut_off()
