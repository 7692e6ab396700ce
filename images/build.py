"""Builds the guest from the distribution's packages: downloaded and unpacked, never installed; no root needed."""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.errors import Unusable
from harness.process import run
from harness.vm.images import GuestFiles
from images.compiler import COMPILER, LIBRARY, compile_static
from images.kept import made_once
from images.kernel import uncompressed
from images.packages import UPDATE, candidates, unpack

CLOUD = "linux-image-cloud-amd64"
GENERIC = "linux-image-amd64"
AGENT = "qemu-guest-agent"
SHELL = "busybox-static"
TOOLS = (AGENT, SHELL, COMPILER, LIBRARY)
# in the guest's initial RAM disk; the order in which they load follows from what each says it depends on
MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "virtio_console", "virtio-rng")
OF_BUSES = ("ahci", "xhci_pci", "usb_storage")
"""Those of the generic kernel alone: disks on SATA and USB."""
ROOT_FILE_SYSTEM_BYTES = 32 << 20
RECIPE = Path(__file__).resolve().parent


def guest_files(cache: Path, kernel: str = CLOUD) -> GuestFiles:
    """The guest for this machine, from `cache` if it is there whole, else built now (10 s or so).

    `kernel` is the package with it: CLOUD has drivers of paravirtual devices alone, GENERIC those of SATA and USB, too,
    and takes longer to be had and to boot. Raises Unusable where the packages cannot be had. A damaged one is rebuilt.
    Safe to call from several processes.
    """
    versions = candidates((kernel, *TOOLS))
    directory = made_once(cache, _digest(versions), "the guest", lambda out: _build(out, versions, kernel))
    return GuestFiles(directory, versions)


def _digest(versions: dict[str, str]) -> str:
    """The hash of everything that goes into the guest."""
    text = hashlib.sha256(json.dumps(versions, sort_keys=True).encode())
    for file in [RECIPE / "build.py", *sorted((RECIPE / "guest").iterdir())]:
        text.update(file.read_bytes())
    for library in _host_libraries():
        state = library.stat()
        text.update(f"{library} {state.st_size} {state.st_mtime_ns}".encode())
    return text.hexdigest()[:16]


def _host_libraries() -> list[Path]:
    """The C library that the agent is linked with, as this machine has it."""
    return [
        path for path in (Path("/lib64/ld-linux-x86-64.so.2"), Path("/lib/x86_64-linux-gnu/libc.so.6")) if path.exists()
    ]


def _build(out: Path, versions: dict[str, str], kernel: str) -> None:
    unpacked = out / "unpacked"
    for name, version in versions.items():
        unpack(_kernel_package(kernel) if name == kernel else f"{name}={version}", out / "packages", unpacked)
    kernels = sorted((unpacked / "boot").glob("vmlinuz-*"))
    modules = sorted((*(unpacked / "lib/modules").glob("*"), *(unpacked / "usr/lib/modules").glob("*")))
    shutil.copyfile(kernels[0], out / "vmlinuz")
    uncompressed(out / "vmlinuz", out / "vmlinux")
    (out / "modules").mkdir()
    kept = out / "modules" / modules[0].name
    modules[0].rename(kept)
    tree = out / "tree"
    _populate(tree, unpacked)
    _file_system(tree, out / "root.ext4")
    _add_modules(tree, kept, (*MODULES, *(OF_BUSES if kernel == GENERIC else ())))
    _initrd(tree, out / "initrd")
    if kernel == GENERIC:  # libguestfs takes the other one
        shutil.rmtree(out / "modules")
    else:
        _index_modules(kept)
    for done in (unpacked, tree, out / "packages"):
        shutil.rmtree(done)


def _kernel_package(kernel: str) -> str:
    """The package that the kernel's meta package stands for at this version."""
    text = run(["apt-cache", "depends", kernel], timeout=60).check().stdout
    names = re.findall(r"Depends: (linux-image-\S+)", text)
    if not names:
        raise Unusable(f"{kernel} names no kernel package", UPDATE)
    return str(names[0])


def _populate(tree: Path, unpacked: Path) -> None:
    """The guest's own files, the same in the initial RAM disk and in the root file system on vda."""
    for name in ("bin", "dev", "proc", "sys", "run", "tmp", "etc", "root", "modules"):
        (tree / name).mkdir(parents=True)
    (tree / "modules").rmdir()
    busybox = next(path for path in (unpacked / "bin/busybox", unpacked / "usr/bin/busybox") if path.exists())
    shutil.copy(busybox, tree / "bin/busybox")
    for applet in run([str(busybox), "--list"], timeout=30).check().stdout.split():
        if applet != "busybox":
            (tree / "bin" / applet).symlink_to("busybox")
    agent = unpacked / "usr/sbin/qemu-ga"
    if not agent.exists():
        agent = unpacked / "usr/bin/qemu-ga"
    shutil.copy(agent, tree / "bin/qemu-ga")
    for library in _linked_libraries(agent):
        target = tree / library.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    shutil.copy(RECIPE / "guest/init", tree / "init")
    (tree / "init").chmod(0o755)
    compile_static(RECIPE / "guest/disk-server.c", tree / "bin/disk-server", unpacked)
    shutil.copy(RECIPE / "guest/shims", tree / "etc/shims")
    (tree / "etc/fstab").write_text(
        "proc /proc proc defaults\nsys /sys sysfs defaults\nrun /run tmpfs defaults\ntmp /tmp tmpfs defaults\n"
    )
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    (tree / "etc/os-release").write_text(
        'ID=chainproof\nNAME=chainproof\nPRETTY_NAME="chainproof guest"\nVERSION_ID=1\n'
    )


def _linked_libraries(program: Path) -> list[Path]:
    """The shared libraries of `program`, from this machine's own packages (QEMU itself needs the same ones)."""
    text = run(["ldd", str(program)], timeout=30).check().stdout
    lacking = re.findall(r"(\S+) => not found", text)
    if lacking:
        raise Unusable(f"the guest agent needs {', '.join(lacking)}", "run as root: apt-get install qemu-system-x86")
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", text)]


def _add_modules(tree: Path, modules: Path, wanted: Sequence[str]) -> None:
    """Put the `wanted` modules and what they depend on into the initial RAM disk, uncompressed, and their order."""
    files = {path.name.split(".ko")[0].replace("-", "_"): path for path in modules.rglob("*.ko*")}
    order: list[str] = []

    def add(name: str) -> None:
        file = files.get(name)
        if file is None or name in order:
            return  # built into the kernel
        data = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
        depends = re.search(rb"\0depends=([^\0]*)\0", data)
        for needed in depends.group(1).decode().split(",") if depends else []:
            if needed:
                add(needed.replace("-", "_"))
        (tree / "modules" / f"{name}.ko").write_bytes(data)
        order.append(name)

    (tree / "modules").mkdir()
    for name in wanted:
        add(name.replace("-", "_"))
    (tree / "modules/order").write_text("".join(f"{name}.ko\n" for name in order))


def _initrd(tree: Path, out: Path) -> None:
    """A cpio archive, uncompressed: TCG would spend longer on unpacking it than QEMU on loading it."""
    names = [str(path.relative_to(tree)) for path in sorted(tree.rglob("*"))]
    archive = ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", "-F", str(out)]
    run(archive, timeout=60, directory=tree, input_bytes="\n".join(names).encode()).check()


def _file_system(tree: Path, out: Path) -> None:
    """A raw ext4 file system with the guest in it; mke2fs fills it from a directory without mounting anything."""
    with out.open("wb") as file:
        file.truncate(ROOT_FILE_SYSTEM_BYTES)
    make = ["mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", str(tree), str(out)]
    run(make, timeout=60, environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}).check()


def _index_modules(modules: Path) -> None:
    """modules.dep, without which libguestfs cannot build its appliance from this kernel."""
    base = modules.parent.parent / "depmod"
    (base / "lib").mkdir(parents=True)
    (base / "lib/modules").symlink_to(modules.parent)
    run(
        ["depmod", "-b", str(base), modules.name], timeout=120, environment={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
    ).check()
    shutil.rmtree(base)
