"""libguestfs's appliance: built once, from this machine's packages and the guest's kernel, and its sandbox."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path, PurePosixPath

from harness.errors import Unusable
from harness.keeping.directory import KeptDirectory, sweep
from harness.keeping.locks import locked, say
from harness.keeping.seal import damage, seal
from harness.process import run
from harness.readers import offline
from harness.readers.offline import WORKER
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import IMAGES, Isolation, Sandbox

_APPLIANCE = PurePosixPath("/appliance")
_GUEST = PurePosixPath("/guest")
_BUILDS = "build"
_LOCK_SECONDS = 250.0  # before a test that waits is ended from outside
_SEAL = "seal.json"
_INSTALL = "run: ci/run doctor"
_SYSTEM_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def appliance_sandbox(directory: RunDirectory, images: Path, appliance: Path, *, readonly: bool, kvm: bool) -> Sandbox:
    """A sandbox around `directory` that runs libguestfs on a built `appliance`.

    Of this machine it sees `images`, as IMAGES, and programs: what is in an image is QEMU's and libguestfs's input.
    """
    environment = {
        "LIBGUESTFS_BACKEND": "direct",
        "LIBGUESTFS_MEMSIZE": "512",
        "LIBGUESTFS_PATH": str(_APPLIANCE),
        "TMPDIR": "/tmp",
        **({} if kvm else {"LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}),
    }
    binds = (
        (images, IMAGES, not readonly),
        (appliance, _APPLIANCE, False),
        (Path(offline.__file__).with_name("guestfs_worker.py"), WORKER, False),
    )
    return Sandbox(directory, Isolation(kvm=kvm, binds=binds, environment=environment))


def built_appliance(cache: Path, guest: Path, work: Path) -> Path:
    """The appliance on the kernel of `guest` (a built guest), from `cache` or built now (6 s or so).

    Built anew when a package of this machine changes: it is made of their files. Raises Unusable if it cannot be.
    """
    cache.mkdir(parents=True, exist_ok=True)
    recipes = sorted(Path("/usr/lib").glob("*/guestfs/supermin.d"))
    if not recipes:
        raise Unusable("not installed: libguestfs's appliance (python3-guestfs)", _INSTALL)
    packages = Path("/var/lib/dpkg/status").stat()
    key = hashlib.sha256(f"{guest.name} {recipes[0]} {packages.st_mtime_ns} {packages.st_size}".encode()).hexdigest()[
        :16
    ]
    directory = cache / key
    with locked(cache / "lock", "libguestfs's appliance", timeout=_LOCK_SECONDS):
        found = damage(directory, directory / _SEAL) if directory.exists() else "it is not there"
        if found:
            if directory.exists():
                say(f"libguestfs's appliance is damaged, and is made anew: {found} (in {directory})")
            sweep(cache, _BUILDS)
            for old in cache.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            with KeptDirectory(cache, _BUILDS) as scratch:
                _build(scratch.path / key, recipes[0], guest, work)
                seal(scratch.path / key, scratch.path / key / _SEAL)
                (scratch.path / key).rename(directory)
    return directory


def _build(out: Path, recipe: Path, guest: Path, work: Path) -> None:
    out.mkdir()
    release = next((guest / "modules").iterdir()).name
    environment = {
        "SUPERMIN_KERNEL": str(_GUEST / "vmlinuz"),
        "SUPERMIN_KERNEL_VERSION": release,
        "SUPERMIN_MODULES": str(_GUEST / "modules" / release),
        "TMPDIR": "/tmp",
    }
    binds = [(out, _APPLIANCE, True), (guest, _GUEST, False)]
    if not Path("/lib/modules").exists():  # supermin looks there too, and fails without it: a machine with no kernel
        binds.append((guest / "modules", PurePosixPath("/usr/lib/modules"), False))
    isolation = Isolation(whole=True, binds=tuple(binds), environment=environment)
    command = ["supermin", "--build", "--copy-kernel", "-f", "ext2", "--host-cpu", "x86_64", str(recipe)]
    with Sandbox(RunDirectory(work), isolation) as sandbox:
        sandbox.run([*command, "-o", f"{_APPLIANCE}/files"], timeout=300).check()
    if os.getuid() != 0:
        _drop_set_user_id(out / "files/root")
    for name in ("kernel", "initrd", "root"):
        (out / "files" / name).rename(out / name)
    (out / "files").rmdir()
    (out / "README.fixed").write_text("an appliance of libguestfs's, built by chainproof\n")


def _drop_set_user_id(root: Path) -> None:
    """Take the set-user-ID bit from the programs on the appliance's file system.

    In a user namespace of one user all that is root's seems to be nobody's, and supermin copies it so: a mount that is
    set-user-ID to nobody cannot mount.
    """
    commands = ""
    for directory in ("/usr/bin", "/usr/sbin", "/bin", "/sbin"):
        for program in Path(directory).iterdir():
            mode = program.lstat().st_mode
            if stat.S_ISREG(mode) and mode & stat.S_ISUID:
                commands += f"set_inode_field {program} mode 0{mode & ~stat.S_ISUID & ~stat.S_ISGID:o}\n"
    edit = ["debugfs", "-w", "-f", "-", str(root)]
    run(edit, timeout=60, input_bytes=commands.encode(), environment=_SYSTEM_PATH).check()
