"""KVM only where it is proved: a guest must have booted under it to its ready line, within a deadline."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from harness.errors import Unusable, WaitTimeout
from harness.process import PIPE, STDOUT, read_until
from harness.settings import Wanted
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import Sandbox
from harness.stack.stack import Stack
from harness.waiting import now

DEVICE = Path("/dev/kvm")
READY_LINE = "chainproof: guest ready"  # what images/guest/init prints
# a guest boots in under 1 s on KVM that works, in 2-4 s under TCG: one that takes longer than this hangs
PROBE_SECONDS = 12.0
# one factor for every deadline of a run: what is enough with KVM is not under TCG, which a loaded machine slows further
TCG_DEADLINES = 2.0


@dataclass(frozen=True)
class Acceleration:
    """What guests run on, and why."""

    kvm: bool
    reason: str

    @property
    def domain_type(self) -> Literal["qemu", "kvm"]:
        """libvirt's domain type."""
        return "kvm" if self.kvm else "qemu"

    @property
    def deadline_factor(self) -> float:
        """By how much every deadline is stretched."""
        return 1.0 if self.kvm else TCG_DEADLINES

    def __str__(self) -> str:
        return "KVM" if self.kvm else "TCG"


def choose(wanted: Wanted, stack: Stack, guest: Path, cache: Path, work: Path) -> Acceleration:
    """What to run on; `guest` is the built guest's directory.

    A verdict on KVM is kept in `cache` until the machine boots again, or QEMU or the guest change.

    Raises Unusable if KVM is wanted and does not work.
    """
    if wanted == "tcg":
        return Acceleration(False, "--accel tcg")
    obstacle = _obstacle()
    verdict = Acceleration(False, obstacle) if obstacle else _cached_probe(stack, guest, cache, work)
    if wanted == "kvm" and not verdict.kvm:
        raise Unusable(f"--accel kvm, but KVM does not work: {verdict.reason}", "use --accel tcg, or auto")
    return verdict


def _obstacle(device: Path = DEVICE) -> str:
    """Why KVM cannot even be tried, or nothing."""
    if not device.exists():
        return f"there is no {device}"
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{device} cannot be opened: {error.strerror}"
    return ""


def _cached_probe(stack: Stack, guest: Path, cache: Path, work: Path) -> Acceleration:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    key = hashlib.sha256(f"{stack.versions[1]} {guest.name}".encode()).hexdigest()[:16]
    file = cache / f"kvm-{boot}-{key}.json"
    try:
        kept = json.loads(file.read_text())
        return Acceleration(bool(kept["kvm"]), str(kept["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        verdict = probe(stack, guest, work)
    cache.mkdir(parents=True, exist_ok=True)
    for old in set(cache.glob("kvm-*.json")) - set(cache.glob(f"kvm-{boot}-*.json")):
        old.unlink(missing_ok=True)
    file.write_text(json.dumps(asdict(verdict)))  # one that is read half-written is no verdict
    return verdict


def probe(
    stack: Stack, guest: Path, work: Path, *, accelerator: str = "kvm", seconds: float = PROBE_SECONDS
) -> Acceleration:
    """Boot the guest with `accelerator` to its ready line within `seconds`, in a sandbox that is gone afterwards."""
    command = [stack.qemu, "-accel", accelerator, "-machine", "q35", "-m", "192", "-nodefaults", "-display", "none"]
    command += ["-no-reboot", "-serial", "stdio", "-kernel", "/guest/vmlinux", "-initrd", "/guest/initrd"]
    command += ["-append", "console=ttyS0 quiet cryptomgr.notests panic=-1"]
    binds = ((guest, PurePosixPath("/guest"), False),)
    isolation = replace(stack.isolation(), kvm=accelerator == "kvm", binds=binds)
    began = now()
    with Sandbox(RunDirectory(work), isolation) as sandbox:
        qemu = sandbox.spawn(command, stdout=PIPE, stderr=STDOUT)
        assert qemu.stdout is not None
        assert qemu.stdin is not None
        try:
            output = read_until(qemu.stdout.fileno(), READY_LINE.encode(), "the guest's ready line", seconds=seconds)
        except WaitTimeout as error:
            output = error.last_seen.encode()
        finally:
            sandbox.close()
            qemu.wait()
            qemu.stdout.close()
            qemu.stdin.close()
    if READY_LINE.encode() in output:
        return Acceleration(True, f"a guest booted under it in {now() - began:.1f} s")
    return Acceleration(False, f"{DEVICE} opens, but a guest did not boot under it within {seconds:.0f} s")
