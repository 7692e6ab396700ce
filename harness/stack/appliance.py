"""The sandbox that libguestfs works in: the whole host read-only, the guest's kernel, no /dev/kvm unless it works."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from harness.layers import offline
from harness.layers.offline import WORKER
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import IMAGES, Isolation, Sandbox

_CACHE = PurePosixPath("/appliance")
_GUEST = PurePosixPath("/guest")


def appliance_sandbox(directory: RunDirectory, exported: Path, guest: Path, cache: Path, *, kvm: bool) -> Sandbox:
    """A sandbox around `directory` that sees `exported` as /export, runs on the kernel of `guest` (a built guest).

    supermin's appliance is kept in `cache`: it is built once, and anew when the host's packages change.
    """
    cache.mkdir(parents=True, exist_ok=True)
    release = next((guest / "modules").iterdir()).name
    environment = {
        "LIBGUESTFS_BACKEND": "direct",
        "LIBGUESTFS_CACHEDIR": str(_CACHE),
        "LIBGUESTFS_DEBUG": "1",  # it all goes to a log that is shown only if something fails
        "LIBGUESTFS_MEMSIZE": "512",
        "SUPERMIN_KERNEL": str(_GUEST / "vmlinuz"),
        "SUPERMIN_KERNEL_VERSION": release,
        "SUPERMIN_MODULES": str(_GUEST / "modules" / release),
        "TMPDIR": "/tmp",
        **({} if kvm else {"LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}),
    }
    binds = [
        (exported, IMAGES.parent, True),
        (guest, _GUEST, False),
        (cache, _CACHE, True),
        (Path(offline.__file__).with_name("guestfs_worker.py"), WORKER, False),
    ]
    if not Path("/lib/modules").exists():  # supermin looks there too, and fails without it: a machine with no kernel
        binds.append((guest / "modules", PurePosixPath("/usr/lib/modules"), False))
    return Sandbox(directory, Isolation(kvm=kvm, whole=True, binds=tuple(binds), environment=environment))
