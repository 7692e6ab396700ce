"""libvirtd stopped and started again, or a newer one in its place, while a trial's VM runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import libvirt

from harness.errors import CheckFailed, Unusable
from harness.journal import Kind
from harness.stack.stack import Stack
from harness.trial.trial import Trial

# what libvirt 7 and 9 log as errors at every start in a sandbox: other drivers of theirs find nothing to drive
_AT_START = r"dnsmasqCaps|virGDBusGet(System|Session)Bus|udevGetDMIData|virFirewall(ValidateBackend|Apply):"


@contextmanager
def libvirtd_upgraded(trial: Trial) -> Iterator[None]:
    """Stop the daemon (SIGTERM); after the body, in which none runs, start the stack's `newer` one, or the same again.

    It is started on the state that the former left, and must be of the version that it was said to be, and know the
    VM: raises CheckFailed.
    """
    older = trial.daemon.stack
    trial.journal.record(Kind.ACT, f"libvirtd {older.libvirt_version} is stopped with SIGTERM")
    trial.domain.take_up(None)
    trial.daemon.stop()
    try:
        yield
    finally:
        _start(trial, older.newer or older)
        _take_up(trial)


def _start(trial: Trial, stack: Stack) -> None:
    daemon = trial.daemon
    trial.expect_in_log(_AT_START, "a sandbox has no D-Bus, no dnsmasq, no DMI and no firewall")
    try:
        daemon.start_upgraded(stack)
    except Unusable as error:
        raise CheckFailed(f"libvirtd {stack.libvirt_version} starts on the state that it finds", str(error)) from error
    trial.daemon_pid = daemon.pid
    told = _version(daemon.connection.getLibVersion())
    trial.journal.record(Kind.ACT, f"libvirtd {told} is started")
    if told != stack.libvirt_version.upstream:
        raise CheckFailed(f"libvirtd {stack.libvirt_version} has taken over", f"it says that it is {told}")


def _take_up(trial: Trial) -> None:
    daemon, domain = trial.daemon, trial.domain
    claim = f"libvirtd takes up the running {domain.name}"
    try:
        domain.take_up(daemon.connection.lookupByName(domain.name))
        # it comes back to QEMU in a job of the domain; what needs a job of its own waits for the end of that
        domain.guarded("the return to QEMU", lambda: domain.handle.blockInfo(domain.disk.target))
        state = domain.handle.state()
    except libvirt.libvirtError as error:
        raise CheckFailed(claim, f"it does not: {error}\n{daemon.log_tail(6)}") from error
    if state[0] != libvirt.VIR_DOMAIN_RUNNING:
        raise CheckFailed(claim, f"its state is {state} (virDomainState, reason)\n{daemon.log_tail(6)}")


def _version(number: int) -> str:
    """libvirt's number for a version, as its programs print it: 9000000 is 9.0.0."""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"
