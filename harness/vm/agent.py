"""The QEMU guest agent: commands in the guest, each with a deadline."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

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


class Agent:
    """The agent of one domain, which `domain` gives. `guard` wraps each call so that a hung QEMU cannot hold us.

    See Domain.guarded; libvirt's object for the domain is another after a restart of its daemon.
    """

    def __init__(self, domain: Callable[[], libvirt.virDomain], guard: Callable[[str, Callable[[], str]], str]) -> None:
        self._domain = domain
        self._guard = guard

    def command(self, name: str, arguments: _Json | None = None, *, timeout: float = 30) -> dict[str, object]:
        """The `return` of one command if it is an object, else {"value": it}. Raises AgentError if it is refused."""
        text = json.dumps({"execute": name, **({"arguments": arguments} if arguments else {})})
        seconds = round(scaled(timeout))
        try:
            answer = self._guard(
                f"agent {name}", lambda: str(libvirt_qemu.qemuAgentCommand(self._domain(), text, seconds, 0))
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


def _data(status: dict[str, object], name: str) -> bytes:
    text = status.get(name, "")
    assert isinstance(text, str)
    return base64.b64decode(text)
