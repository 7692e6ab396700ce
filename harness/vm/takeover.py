"""libvirtd started again, or a newer one in its place, under VMs that run: does it know them?"""

from __future__ import annotations

from collections.abc import Iterable

import libvirt

from harness.errors import CheckFailed, Unusable
from harness.stack.daemon import Daemon
from harness.vm.domain import Domain
from harness.vm.domain_view import targets
from harness.waiting import settled


def start_daemon(daemon: Daemon, domains: Iterable[Domain], *, upgraded: bool) -> None:
    """Start the stopped daemon on the state that it left; with `upgraded` the stack's `newer` one, or the same again.

    Raises CheckFailed unless it starts, is of the version that its stack claims, and knows the domains.
    """
    stack = (daemon.stack.newer or daemon.stack) if upgraded else daemon.stack
    version = stack.libvirt_version
    try:
        daemon.start_upgraded(stack)
    except Unusable as error:
        raise CheckFailed(f"libvirtd {version} starts on the state that it finds", str(error)) from error
    for domain in domains:
        _take_up(daemon, domain)


def _take_up(daemon: Daemon, domain: Domain) -> None:
    on = domain.is_on
    claim = f"libvirtd takes up {domain.name}, which is {'on' if on else 'off'}"
    expected = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED) if on else (libvirt.VIR_DOMAIN_SHUTOFF,)
    try:
        domain.take_up()
        # it comes back to QEMU in a job of the domain; what needs a job of its own waits for the end of that
        if on:
            first = targets(domain.xml())[0]
            domain.call("the return to QEMU", lambda handle: handle.blockInfo(first))
        # and it looks for a QEMU that has ended after it has begun to answer
        state, reason = domain.state() if on else settled(domain.state, lambda seen: seen[0] in expected, timeout=5)
    except libvirt.libvirtError as error:
        raise CheckFailed(claim, f"it does not: {error}\n{daemon.log_tail(6)}") from error
    if state not in expected:
        raise CheckFailed(claim, f"its state is {state}, {reason} (virDomainState, reason)\n{daemon.log_tail(6)}")
