"""The QEMU guest agent: commands in the guest, each with a deadline."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import libvirt
import libvirt_qemu

from harness.errors import AgentError
from harness.waiting import NotYet, scaled, wait_until

_Json = dict[str, "str | int | bool | list[str]"]


@dataclass(frozen=True)
class Ended:
    """A command that ran in the guest."""

    exit_status: int
    stdout: bytes
    stderr: bytes


class Call(Protocol):
    """How libvirt is called on a domain: with a deadline (harness.vm.domain.Domain.call)."""

    def __call__(self, what: str, function: Callable[[libvirt.virDomain], str]) -> str:
        """What `function` returns of libvirt's object."""


class Agent:
    """The agent of one domain, which is reached by `call` alone."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def command(self, name: str, arguments: _Json | None = None, *, timeout: float = 30) -> dict[str, object]:
        """The `return` of one command if it is an object, else {"value": it}. Raises AgentError if it is refused."""
        text = json.dumps({"execute": name, **({"arguments": arguments} if arguments else {})})
        seconds = round(scaled(timeout))
        try:
            answer = self._call(
                f"agent {name}", lambda handle: str(libvirt_qemu.qemuAgentCommand(handle, text, seconds, 0))
            )
        except libvirt.libvirtError as error:
            raise AgentError(name, str(error)) from error
        value = json.loads(answer)["return"]
        return value if isinstance(value, dict) else {"value": value}

    def execute(self, script: str, *, input_bytes: bytes = b"", timeout: float = 60) -> Ended:
        """Run a shell script in the guest to its end; its exit status is not checked. At most 10 MiB of output."""
        arguments: _Json = {"path": "/bin/sh", "arg": ["-c", script], "capture-output": True}
        if input_bytes:
            arguments["input-data"] = base64.b64encode(input_bytes).decode()
        pid = self.command("guest-exec", arguments)["pid"]
        assert isinstance(pid, int)

        def ended() -> dict[str, object]:
            status = self.command("guest-exec-status", {"pid": pid})
            if not status["exited"]:
                raise NotYet("it still runs")
            return status

        # the agent sends no event when a command ends; asking again is all that its protocol offers
        status = wait_until(f"the guest to end: {script}", ended, timeout, interval=0.002)
        exit_status = status.get("exitcode", -1)
        assert isinstance(exit_status, int)
        return Ended(exit_status, _data(status, "out-data"), _data(status, "err-data"))

    def run(self, script: str, *, input_bytes: bytes = b"", timeout: float = 60) -> bytes:
        """The standard output of a shell script in the guest. Raises AgentError if it ends with a status not 0."""
        ended = self.execute(script, input_bytes=input_bytes, timeout=timeout)
        if ended.exit_status != 0:
            words = ended.stderr.decode(errors="replace").strip()
            raise AgentError("guest-exec", f"exit status {ended.exit_status} from: {script}\n{words}")
        return ended.stdout

    def freeze(self) -> int:
        """Freeze the guest's file systems (guest-fsfreeze-freeze) and return how many; after it, nothing else works."""
        count = self.command("guest-fsfreeze-freeze")["value"]
        assert isinstance(count, int)
        return count

    def thaw(self) -> None:
        """Thaw them (guest-fsfreeze-thaw)."""
        self.command("guest-fsfreeze-thaw")


def _data(status: dict[str, object], name: str) -> bytes:
    text = status.get(name, "")
    assert isinstance(text, str)
    return base64.b64decode(text)
