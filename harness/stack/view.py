"""What is seen inside a sandbox: a tree or its programs, a few devices, and what is bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from harness.stack import programs
from harness.stack.programs import Program

BUSYBOX = "/chainproof/busybox"
SMALL = PurePosixPath("/small")
"""A file system of SMALL_BYTES inside: to see what a full one does."""
SMALL_BYTES = 1 << 20
PRELOADS = PurePosixPath("/chainproof/preload")
_SYSTEM = ("/sys/devices/system/cpu", "/sys/devices/system/node")  # libvirt's host capabilities
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# not the tree's, even if it is shown whole
_OWN = frozenset({"proc", "dev", "sys", "run", "tmp", "chainproof", "export", "small"})


@dataclass(frozen=True)
class Preload:
    """A shared object that the dynamic loader is to load first (LD_PRELOAD): `file` on this machine.

    Into libvirtd, and so into the QEMUs and tools that it starts: libvirt passes the variable on. `everywhere`: into
    whatever else runs inside, too: virsh, qemu-img, the storage daemon, what is typed. Programs without a dynamic
    loader (busybox) take no notice.
    """

    file: Path
    everywhere: bool = False


@dataclass(frozen=True)
class Isolation:
    """How a sandbox looks: `tree` is the file system tree whose /usr it runs on.

    `uid` other than None puts it into a user namespace under that uid; `kvm` shows it /dev/kvm; `whole` shows the
    whole tree read-only instead of only its programs; `programs` come before the tree's own; `binds` are (outside,
    inside, writable). `preloads` are shown read-only; `harness.stack.view.loaded` says where.
    """

    tree: Path = Path("/")
    uid: int | None = None
    kvm: bool = False
    whole: bool = False
    programs: tuple[Program, ...] = ()
    binds: tuple[tuple[Path, PurePosixPath, bool], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    preloads: tuple[Preload, ...] = ()


def view(isolation: Isolation) -> list[str]:
    """bwrap's options for all that is seen inside, but for replaced programs and busybox."""
    tree = isolation.tree
    command: list[str] = []
    if isolation.whole:
        command += _shown(tree, PurePosixPath("/"), [inside for _, inside, _ in isolation.binds])
    else:
        command += programs.tree_options(tree)
        for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives"):
            command += ["--ro-bind-try", str(tree / "etc" / name), f"/etc/{name}"]
        command += ["--dir", "/root", "--symlink", "../run", "/var/run"]
    for scratch in ("/tmp", "/var/tmp", "/run", "/chainproof"):
        command += ["--tmpfs", scratch]
    command += ["--size", str(SMALL_BYTES), "--tmpfs", str(SMALL)]
    # not --dev: for its devpts bwrap would make a second user namespace, and nsenter could not follow without root
    command += ["--tmpfs", "/dev", "--dir", "/dev/shm", "--symlink", "/proc/self/fd", "/dev/fd"]
    for device in _DEVICES:
        command += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    # root needs no capability to write what root owns there (sysctls, /proc/sysrq-trigger)
    command += ["--proc", "/proc", "--remount-ro", "/proc"]
    for shown in _SYSTEM:
        command += ["--ro-bind-try", shown, shown]
    if isolation.kvm:
        command += ["--dev-bind", "/dev/kvm", "/dev/kvm"]
    for outside, inside, writable in isolation.binds:
        command += ["--dev-bind" if writable else "--ro-bind", str(outside), str(inside)]  # devices of a trial's
    for number, preload in enumerate(isolation.preloads):
        command += ["--ro-bind", str(preload.file), str(_place(number))]
    return command


def loaded(isolation: Isolation, *, by_daemon: bool) -> str:
    """The value of LD_PRELOAD for libvirtd, or for everything else inside; "" for none."""
    chosen = [n for n, preload in enumerate(isolation.preloads) if by_daemon or preload.everywhere]
    return ":".join(str(_place(number)) for number in chosen)


def _place(number: int) -> PurePosixPath:
    return PRELOADS / f"{number}.so"


def _shown(tree: Path, at: PurePosixPath, mount_points: Sequence[PurePosixPath]) -> list[str]:
    """bwrap's options that show all below `tree` read-only at `at`, with room for `mount_points` that are not in it.

    A mount point cannot be made in what is bound read-only: a directory that lacks one is shown entry by entry.
    """
    options: list[str] = []
    for entry in sorted(tree.iterdir()):
        inside = at / entry.name
        lacking = [
            point
            for point in mount_points
            if inside in point.parents and not (tree / entry.name / point.relative_to(inside)).exists()
        ]
        if at == PurePosixPath("/") and entry.name in _OWN:
            continue
        if entry.is_symlink():
            options += ["--symlink", str(entry.readlink()), str(inside)]
        elif lacking and entry.is_dir():
            options += ["--dir", str(inside), *_shown(entry, inside, lacking)]
        else:
            options += ["--ro-bind", str(entry), str(inside)]
    return options
