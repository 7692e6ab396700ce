"""What this machine has for a run, fact by fact, and whether that is enough; `ci/run doctor` says what to install."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ChainproofError, Unusable
from harness.process import run
from harness.settings import Cache, Settings, default_cache, default_mode, default_work
from harness.stack.acceleration import Acceleration, choose
from harness.stack.rooted import stand_on_a_mount
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import Isolation, Sandbox
from harness.stack.stack import Stack
from harness.vm.images import GuestFiles

_PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin"
# a scenario's images and its guest are some 100 MB, on as many workers as there are cores
ROOM_BYTES = 2 << 30


@dataclass(frozen=True)
class Fact:
    """One line about this machine; `enough` is False if no run is possible with it."""

    name: str
    value: str
    enough: bool = True

    def __str__(self) -> str:
        return f"{self.name:<16}{self.value}"


def facts(work: Path, cache: Cache) -> Iterator[Fact]:
    """Everything about this machine, the quick things first."""
    for name, program in (("libvirt", "libvirtd"), ("QEMU", "qemu-system-x86_64"), ("bubblewrap", "bwrap")):
        yield program_version(name, program)
    yield libguestfs()
    yield room("work directory", work)
    yield room("cache", cache.root)
    yield user()
    yield sandbox(work)
    yield from guest_and_acceleration(work, cache)


def program_version(name: str, program: str) -> Fact:
    """The version that a program says it has."""
    path = shutil.which(program, path=_PROGRAMS)
    if path is None:
        return Fact(name, f"not installed ({program})", enough=False)
    try:
        printed = run([path, "--version"], timeout=60).check().stdout
    except ChainproofError as error:
        return Fact(name, one_line(error), enough=False)
    found = re.search(r"\d+\.\d.*", printed)
    return Fact(name, found.group().strip() if found else one_line(printed))


def libguestfs() -> Fact:
    """The version of libguestfs, by its Python binding."""
    try:
        version = importlib.import_module("guestfs").GuestFS(python_return_dict=True).version()
    except (ImportError, RuntimeError) as error:
        return Fact("libguestfs", one_line(error), enough=False)
    return Fact("libguestfs", "{major}.{minor}.{release}".format(**version))


def room(name: str, directory: Path) -> Fact:
    """How much can be written to a directory, which need not exist yet."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK | os.X_OK):
        return Fact(name, f"{directory} cannot be written", enough=False)
    scarce = f", {ROOM_BYTES / (1 << 30):.0f} GiB are needed" if free < ROOM_BYTES else ""
    return Fact(name, f"{directory}, {free / (1 << 30):.1f} GiB free{scarce}", enough=not scarce)


def user() -> Fact:
    """Who we are, and whether we may make user namespaces; whether root can make its own shows with the sandbox."""
    name = "root" if os.getuid() == 0 else f"uid {os.getuid()}, not root"
    who = f"{name}, so libvirt's {default_mode()} mode"
    try:
        run(["bwrap", "--unshare-user", "--ro-bind", "/", "/", "true"], timeout=20).check()
    except ChainproofError as error:
        return Fact("user", f"{who}; no user namespaces: {one_line(error)}", enough=os.getuid() == 0)
    return Fact("user", f"{who}; user namespaces work")


def sandbox(work: Path) -> Fact:
    """Whether the sandbox that every scenario runs in can be built."""
    try:
        with Sandbox(RunDirectory(work), Isolation()):
            return Fact("sandbox", "works")
    except ChainproofError as error:
        return Fact("sandbox", one_line(error), enough=False)


def guest_and_acceleration(work: Path, cache: Cache) -> Iterator[Fact]:
    """The guest, which is built if it is not there yet, and what it runs on."""
    try:
        build = importlib.import_module("images.build")
    except ImportError as error:
        yield Fact("guest", f"not known before the Python environment is there ({error})")
        return
    try:
        guest = build.guest_files(cache.images)
        versions = ", ".join(f"{name} {version}" for name, version in guest.versions.items())
        yield Fact("guest", versions)
        chosen = choose("auto", Stack.host(), guest.directory, cache.verdicts, work)
        yield Fact("acceleration", f"{chosen}: {chosen.reason}")
        yield libvirtd(Settings("auto", default_mode(), work, cache, work, 1.0, "warm"), guest, chosen)
    except ChainproofError as error:
        yield Fact("guest", one_line(error), enough=False)


def libvirtd(settings: Settings, guest: GuestFiles, chosen: Acceleration) -> Fact:
    """Whether this machine's libvirtd starts in a sandbox, and is the one that answers there."""
    stack = Stack.host()
    try:
        ground = importlib.import_module("harness.trial.ground")
        with ground.Platform(ground.Ground(settings, guest, chosen), stack).daemon() as daemon:
            return Fact("libvirtd", f"{stack.libvirt_version} answers, as process {daemon.pid} of its sandbox")
    except (ChainproofError, ImportError) as error:
        return Fact("libvirtd", one_line(error), enough=False)


def one_line(what: object) -> str:
    """An error as one line; a traceback and a remedy of several lines are for other places."""
    text = str(what).strip()
    if isinstance(what, Unusable) and what.detail:
        text = f"{text.splitlines()[0]} ({what.detail.splitlines()[-1]})"
    return " | ".join(line.strip() for line in text.splitlines())


def main() -> int:
    """Print every fact as soon as it is known; 1 if one of them is in the way of a run."""
    enough = True
    for fact in facts(default_work(), default_cache()):
        print(fact, flush=True)
        enough = enough and fact.enough
    return 0 if enough else 1


if __name__ == "__main__":
    stand_on_a_mount()
    sys.exit(main())
