"""Another stack's programs among the processes, sockets and files of a sandbox: how a daemon is upgraded in place."""

from __future__ import annotations

import os
from typing import Self

from harness.stack.powerless import powerless_root
from harness.stack.sandbox import Isolation, Sandbox


class JoinedSandbox(Sandbox):
    """A second mount namespace over the processes of `sandbox` and its run directory, with other programs in it.

    What runs in either sees the processes of both, and ends with `sandbox`. The network is not shared (bubblewrap can
    join no network namespace): sockets between the two must be files.
    """

    def __init__(self, sandbox: Sandbox, isolation: Isolation) -> None:
        super().__init__(sandbox.run_directory, isolation)
        self._joined = sandbox

    def __enter__(self) -> Self:
        """Build the mount namespace. Raises Unusable if bubblewrap cannot."""
        names = ("pid", "user") if self._has_user_namespace else ("pid",)
        self._passed = [os.open(f"/proc/{self._joined.pid}/ns/{name}", os.O_RDONLY) for name in names]
        try:
            return super().__enter__()
        finally:
            for descriptor in self._passed:
                os.close(descriptor)
            self._passed = []

    def close(self) -> None:
        """Let go of the life-line; what was started here goes on until the end of the sandbox that it joined."""
        bwrap, self._bwrap = self._bwrap, None
        if bwrap is not None:
            self._end(bwrap)

    def _namespaces(self) -> list[str]:
        process, *user = map(str, self._passed)
        return ["--pidns", process, *(("--userns", *user) if user else ("--userns2", str(powerless_root())))]
