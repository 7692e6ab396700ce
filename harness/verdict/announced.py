"""Whether a trial ran on what the run announced."""

from __future__ import annotations

import json

from harness.stack.answering import require_qemu
from harness.trial.trial import Trial


def require_announced(trial: Trial) -> None:
    """Ask the QEMU of each VM that runs who it is. Raises Unusable if it is another than was announced."""
    daemon = trial.daemon
    for domain in (vm.domain for vm in trial.vms):
        if domain.is_running():
            version = json.loads(domain.monitor("query-version"))["return"]["qemu"]
            answered = "{major}.{minor}.{micro}".format(**version)
            require_qemu(daemon.stack, answered, daemon.sandbox, domain.qemu_pid)
