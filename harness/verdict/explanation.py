"""What an error comes of, where it does not say so itself: a process that has died or stopped, a VM that is paused."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress

import libvirt

from harness.errors import AgentError, Ailing, ChainproofError, CheckFailed, WaitTimeout, how_ended
from harness.journal import Kind
from harness.oracle.state import Power
from harness.stack.daemon import Daemon
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.verdict.check import Subject
from harness.verdict.finding import Finding
from harness.vm.domain import DomainFailed
from harness.vm.jobs import BlockJobFailed
from harness.waiting import NotYet, wait_until

CRASHES = frozenset(
    {
        signal.SIGILL,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGSEGV,
        signal.SIGTRAP,
        signal.SIGSYS,
    }
)
"""How processes end that nobody has ended."""
_OF_QEMU = (AgentError, DomainFailed, BlockJobFailed, libvirt.libvirtError)


def explain(trial: Trial, error: Exception) -> None:
    """Raise CheckFailed if what a scenario failed with, `error`, comes of something that has died, stopped or crashed.

    What may have hung is killed then, so that all else returns: collecting evidence, too.
    """
    if isinstance(error, Ailing) or isinstance(error.__cause__, Ailing):  # it says so itself
        return
    daemon = trial.daemon
    ailment = daemon.ailment() or _late(daemon)
    if ailment:
        trial.journal.record(Kind.NOTE, f"what runs then:\n{daemon.sandbox.processes()}")
        daemon.end_hard("it is put out of the way of the evidence")
        raise CheckFailed("libvirtd and all around it live as long as a scenario", ailment, str(error)) from error
    for vm in trial.vms:
        ailment = vm.domain.ailment() if vm.state.power is Power.RUNNING else ""
        if ailment or isinstance(error, _OF_QEMU):
            _explain_by_qemu(trial, vm)
        if ailment:
            raise CheckFailed(f"{vm.name} goes on", ailment, str(error)) from error
    crashed = [*crashes(trial)]
    if crashed and not isinstance(error, CheckFailed):
        raise CheckFailed("no process crashes", "; ".join(crashed), str(error)) from error


def cause(trial: Trial, error: Exception) -> Exception:
    """What an error comes of, if something has died or stopped; else it."""
    try:
        explain(trial, error)
    except CheckFailed as explained:
        return explained
    return error


def _late(daemon: Daemon) -> str:
    """What is wrong with a daemon that has closed its connection: its end is known a moment after that."""

    def known() -> str:
        ailment = daemon.ailment()
        if not ailment:
            raise NotYet("nothing is wrong")
        return ailment

    if not daemon.is_cut_off():
        return ""
    try:
        return wait_until("the end of libvirtd to be known", known, timeout=2)
    except WaitTimeout:
        return "libvirtd has closed the connection"


def _explain_by_qemu(trial: Trial, vm: Vm) -> None:
    try:
        _require_answer(vm)
    except ValueError:  # there is no daemon to ask
        return
    except libvirt.libvirtError:  # it is gone, or just going: libvirt may be the last to know
        with suppress(WaitTimeout):
            wait_until("libvirt to know of QEMU's end", lambda: _gone(vm), timeout=5)
        require_on(trial)


def _require_answer(vm: Vm) -> None:
    try:
        vm.domain.monitor("query-status")
    except (WaitTimeout, Ailing) as hung:
        raise CheckFailed("QEMU answers its monitor", f"it does not: {hung}") from hung


def _gone(vm: Vm) -> None:
    if vm.domain.is_running():
        raise NotYet("it runs")


def require_on(trial: Trial) -> None:
    """Raise CheckFailed if a QEMU that should run has ended, or hangs (it is killed then, so that all else returns)."""
    for vm in trial.vms:
        if not vm.state.is_on:
            continue
        domain = vm.domain
        if domain.has_ended_by_itself():
            log = domain.qemu_log_tail()
            own = [line for line in log.splitlines() if line.startswith("qemu-system")]  # its own words come last
            words = "\n".join([*own[-1:], "its log ends:", log])
            how = how_it_ended(trial, domain.first_qemu_pid)
            by = f"since it hung, in {domain.hung_in}" if domain.hung_in else "by itself"
            raise CheckFailed(f"{vm.name} runs until it is shut off", f"QEMU has ended {by}: it {how}", words)
        _require_answer(vm)


def no_crash(subject: Subject) -> Iterator[Finding]:
    """Read how the processes of the sandbox have ended, by the one that reaps them."""
    yield from (subject.wrong("no process crashes", crash) for crash in crashes(subject.trial))


def how_it_ended(trial: Trial, pid: int) -> str:
    """In words, of a QEMU of the trial; a process that has ended is reaped a moment later."""

    def reaped() -> int:
        status = trial.daemon.sandbox.exit_status(pid, trial.first_end)
        if status is None:
            raise NotYet("nobody has reaped it")
        return status

    try:
        return how_ended(wait_until(f"the end of process {pid} to be known", reaped, timeout=5))
    except ChainproofError as error:
        return f"ended nobody knows how: {error}"


def crashes(trial: Trial) -> Iterator[str]:
    """The processes that have crashed since the trial began, in words."""
    qemus = {vm.domain.first_qemu_pid: f"the QEMU of {vm.name}" for vm in trial.vms}
    for pid, status in trial.daemon.sandbox.ends()[trial.first_end :]:
        if -status in CRASHES:
            yield f"{qemus.get(pid, f'process {pid}')} {how_ended(status)}"
