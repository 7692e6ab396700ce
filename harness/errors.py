"""One family of exceptions; each carries what was seen and prints it."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence


class ChainproofError(Exception):
    """Base of everything that the harness raises on purpose."""


class Unusable(ChainproofError):
    """The machine, a setting or an input cannot be used: not a finding about libvirt or QEMU.

    Ends a run with exit status 2 and one line: what is wrong, and what to do about it.
    """

    def __init__(self, problem: str, remedy: str = "", detail: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        self.detail = detail
        line = f"{problem}; {remedy}" if remedy else problem
        super().__init__(f"{line}\n{detail}" if detail else line)


def how_ended(status: int) -> str:
    """A child's return code in words, a signal by its name; as after "it"."""
    number = -status if status < 0 else status - 128
    if status < 0 or number in set(signal.Signals):  # a shell, or bwrap, says 128 and the signal
        return f"was ended by {signal.Signals(number).name}"
    return f"has ended with exit status {status}"


class CommandFailed(ChainproofError):
    """A child process ended with another status than it was to have, which mostly is 0."""

    def __init__(self, command: Sequence[str], exit_status: int, stdout: str, stderr: str) -> None:
        self.command = tuple(command)
        self.exit_status = exit_status
        self.stdout = stdout
        self.stderr = stderr
        words = stderr.strip() or stdout.strip() or "(it printed nothing)"
        line = shlex.join(command)
        ended = (
            f"exit status {exit_status} from: {line}" if exit_status >= 0 else f"it {how_ended(exit_status)}: {line}"
        )
        super().__init__(f"{ended}\n{words}")


class WaitTimeout(ChainproofError):
    """A named wait passed its deadline."""

    def __init__(self, what: str, seconds: float, last_seen: str) -> None:
        self.what = what
        self.seconds = seconds
        self.last_seen = last_seen
        super().__init__(f"waited {seconds:.0f} s for {what}; last seen: {last_seen or 'nothing'}")


class CheckFailed(ChainproofError, AssertionError):
    """A claim about the disk or the VM does not hold."""

    def __init__(self, claim: str, seen: str, difference: str = "") -> None:
        self.claim = claim
        self.seen = seen
        self.difference = difference
        lines = [f"claimed:  {claim}", f"seen:     {seen}"]
        if difference:
            lines.append(difference)
        super().__init__("\n".join(lines))


class Ailing(CheckFailed):
    """Something was waited for in vain, or a call broken off: a process has died or stopped, or a VM is paused."""

    def __init__(self, what: str, ailment: str) -> None:
        super().__init__(f"nothing dies or stops while waiting for {what}", ailment)


class ImageError(ChainproofError):
    """An image file cannot be read as what it claims to be."""

    def __init__(self, image: str, problem: str) -> None:
        self.image = image
        self.problem = problem
        super().__init__(f"{in_one_line(image)}: {problem}")


def in_one_line(text: str) -> str:
    """A text of a stranger's, such as a name in an image's header, with escapes for whatever moves the cursor."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class AgentError(ChainproofError):
    """The guest agent refused a command, or a command in the guest failed."""

    def __init__(self, command: str, problem: str) -> None:
        self.command = command
        self.problem = problem
        super().__init__(f"guest agent: {command}: {problem}")


class QmpError(ChainproofError):
    """QEMU, or its storage daemon, refused a command."""
