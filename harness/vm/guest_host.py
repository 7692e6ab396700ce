"""pytest-testinfra's Host over the guest agent, for scenarios that look into the guest."""

from __future__ import annotations

from collections.abc import Callable

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from harness.vm.agent import Ended

Execute = Callable[[str], Ended]


class AgentBackend(BaseBackend):  # type: ignore[misc]  # testinfra has no types
    """Runs testinfra's commands in the guest with `execute`; busybox gets the options that testinfra uses (shims)."""

    NAME = "qemu-guest-agent"

    def __init__(self, name: str, execute: Execute) -> None:
        super().__init__(name)
        self._execute = execute

    def run(self, command: str, *args: str, **kwargs: object) -> CommandResult:  # noqa: ARG002 (testinfra's signature)
        """Run a command line with quoted `args`."""
        line = self.get_command(command, *args)
        ended = self._execute(f". /etc/shims; {line}")
        return self.result(ended.exit_status, self.encode(line), ended.stdout, ended.stderr)

    def get_encoding(self) -> str:
        """The guest's encoding; asking it would cost a command."""
        return "utf-8"


def guest_host(name: str, execute: Execute) -> Host:
    """The testinfra Host of a guest."""
    return Host(AgentBackend(name, execute))
