"""The universal checks of QEMU's last words (O14): what it wrote into its log, why it ended, and with which status."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Iterator, Sequence

from harness.errors import how_ended
from harness.oracle.state import Death
from harness.verdict.check import OFF, Check, Subject
from harness.verdict.explanation import how_it_ended
from harness.verdict.finding import Finding
from harness.vm.warm import FELL_BACK

_LIBVIRTS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+[+-]\d{4}: (.*)")
_STARTS = "starting up libvirt version"
_ENDS = "shutting down, reason="
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ")
_NOISE = re.compile(
    r"Domain id=\d+ is tainted: .*"
    # how libvirt ends it
    r"|qemu-system-\w+: terminating on signal 15 from pid \d+ \(.*\)"
    # QEMU from 9.1 on, at each save and restore by libvirt
    r"|warning: fd: migration to a file is deprecated\. Use file: instead\."
    # about the machine that the run is on
    r"|qemu-system-\w+: warning: (host|TCG) doesn't support requested feature: .*"
)
_REASONS = {
    Death.SHUT_OFF: ("destroyed",),
    Death.SAVED: ("saved",),
    Death.SNAPSHOT: ("from snapshot",),
    Death.REVERTED: ("from snapshot",),
    Death.DELETED: ("shutdown",),
    Death.KILLED: ("crashed", "daemon", "unknown"),
}
"""What libvirt gives as reasons; of one that was killed while no daemon ran, the next one knows less."""
_STATUS = {Death.SHUT_OFF: 0, Death.SAVED: 0, Death.SNAPSHOT: 0, Death.REVERTED: 0, Death.KILLED: -signal.SIGKILL}


def words_of_qemu(subject: Subject) -> Iterator[Finding]:
    """Read the log, without the command lines and without what is known to be harmless."""
    words = [line for line in _lines(subject) if not line.startswith((_STARTS, _ENDS)) and not _NOISE.fullmatch(line)]
    words = [line for line in words if not any(re.search(known, line) for known in subject.trial.state.noise)]
    if words:
        yield subject.wrong(f"QEMU of {subject.vm.name} writes nothing into its log", "\n".join(words[:10]))


def reason_of_end(subject: Subject) -> Iterator[Finding]:
    """Read in the log what libvirt gives as the reason of each end."""
    seen = reasons(_lines(subject))
    deaths = subject.vm.state.deaths
    if FELL_BACK in subject.trial.machines.came_up:
        seen = [reason for reason in seen if reason != "failed"]
    if not are_told(seen, deaths):
        yield subject.wrong(
            f"{subject.vm.name} was {_listed(deaths)}",
            f"libvirt's reasons are: {_listed(seen)} (the log of its QEMU)",
        )


def reasons(lines: Iterable[str]) -> list[str]:
    """The reasons in a log, but for that of a start that was refused: there was no QEMU."""
    found, has_begun = [], False
    for line in lines:
        has_begun = has_begun or line.startswith(_STARTS)
        if line.startswith(_ENDS):
            reason = line.removeprefix(_ENDS)
            if has_begun or reason != "failed":
                found.append(reason)
            has_begun = False
    return found


def are_told(reasons: Sequence[str], deaths: Sequence[Death]) -> bool:
    """Whether libvirt's `reasons` are those of `deaths`, in order.

    One that says "saved" may be there besides, wherever: a guest was saved to be restored from then on (vm/warm.py).
    """
    left = list(deaths)
    for reason in reasons:
        if left and reason in _REASONS[left[0]]:
            left.pop(0)
        elif reason != "saved":
            return False
    return not left


def status_of_end(subject: Subject) -> Iterator[Finding]:
    """Read how each QEMU that was started has ended, by the process that has reaped it."""
    qemus = subject.trial.machines.qemus.get(subject.vm.name, [])
    seen = [how_it_ended(subject.trial, pid) for pid in qemus]
    deaths = [death for death in subject.vm.state.deaths if death is not Death.DELETED]  # of that nobody has the pid
    expected = [how_ended(_STATUS[death]) for death in deaths]
    if seen != expected:
        claim = f"each QEMU of {subject.vm.name}, which was {_listed(deaths)}, {_listed(expected)}"
        yield subject.wrong(claim, f"it {_listed(seen)}")


def _lines(subject: Subject) -> Iterator[str]:
    """The log's lines without their times, and without QEMU's command lines."""
    is_command = False
    for line in subject.trial.qemu_log(subject.vm).splitlines():
        if is_command:
            is_command = line.endswith("\\")
            continue
        found = _LIBVIRTS.fullmatch(line)
        text = found[1] if found else _TIME.sub("", line, count=1)
        is_command = found is not None and text.startswith(_STARTS)
        if text:
            yield text


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"


def _was_started(subject: Subject) -> str:
    return "" if subject.trial.machines.qemus.get(subject.vm.name) else "it was never started"


QEMU_CHECKS: tuple[Check, ...] = (
    Check("QEMU's log", "O14: QEMU complains of nothing", "vm", OFF, words_of_qemu, _was_started),
    Check("QEMU's end", "O14: QEMU ended as it was asked to, says libvirt", "vm", OFF, reason_of_end, _was_started),
    Check("QEMU's exit status", "O14: QEMU ended well, says its exit status", "vm", OFF, status_of_end, _was_started),
)
