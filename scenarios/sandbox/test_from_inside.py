"""What runs in a sandbox, root included, reaches nothing of this machine; the same steps succeed outside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.detect.boundary import FOR_ANYBODY, OF_SOME_MACHINES, STEPS, OtherSide, outside
from harness.errors import ImageError
from harness.process import Completed, Runner, installed, run
from harness.settings import Mode
from harness.stack.appliance import appliance_sandbox
from harness.stack.daemon import Daemon
from harness.stack.joined import JoinedSandbox
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import BUSYBOX, IMAGES, Sandbox
from harness.storage.images import file_image
from harness.storage.stores import file_name
from harness.trial.appliances import appliance
from harness.trial.ground import Platform
from harness.trial.nouns import Vm
from harness.trial.trial import Trial

MODES: tuple[Mode, ...] = ("system", "session") if os.getuid() == 0 else ("session",)


@pytest.fixture
def other_side(tmp_path: Path) -> Iterator[OtherSide]:
    side = OtherSide(tmp_path)
    with side.there():
        yield side


def steps(daemon: Daemon) -> dict[str, str]:
    of_this = dict(step for file, step in OF_SOME_MACHINES.items() if Path(file).exists())
    if daemon.kvm:
        del of_this["open /dev/kvm"]
    return {**STEPS, **of_this}


@pytest.fixture(params=MODES)
def apart(platform: Platform, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A daemon of the test's own."""
    setup = replace(platform.setup, mode=request.param)
    with Daemon(platform.stack, RunDirectory(platform.ground.settings.work), setup) as daemon:
        yield daemon


def reached(side: OtherSide, run_inside: Runner, scripts: dict[str, str]) -> set[str]:
    return {step for step, script in scripts.items() if side.take(script, run_inside, BUSYBOX).exit_status == 0}


def with_the_power_of_root(sandbox: Sandbox) -> Runner:
    """Runs in the sandbox, but not in its user namespace."""

    def runner(command: Sequence[str], *, timeout: float, input_bytes: bytes | None = None) -> Completed:
        enter = ["nsenter", "-t", str(sandbox.pid), "-r", "-m", "-p", "-i", "-n", "-u", "--"]
        return run([*enter, *command], timeout=timeout, input_bytes=input_bytes, environment=sandbox.environment)

    return runner


def test_no_step_leads_out_of_a_sandbox(apart: Daemon, other_side: OtherSide) -> None:
    assert reached(other_side, apart.sandbox.run, steps(apart)) == set()


def test_no_step_leads_out_of_one_that_joined_it(apart: Daemon, other_side: OtherSide) -> None:
    joined = JoinedSandbox(apart.sandbox, replace(apart.sandbox.isolation, tree=Path("/"), programs=()))
    with joined:
        assert reached(other_side, joined.run, steps(apart)) == set()


def test_every_step_leads_somewhere_outside(daemon: Daemon, other_side: OtherSide) -> None:
    for step, script in steps(daemon).items():
        done = other_side.take(script, outside, installed("busybox", "busybox-static"))
        assert done.exit_status == 0 or (os.getuid() != 0 and step not in FOR_ANYBODY), f"{step}: {done.output}"


def test_no_step_leads_out_of_an_appliances_and_it_sees_the_images_alone(
    daemon: Daemon, other_side: OtherSide, tmp_path: Path
) -> None:
    work = daemon.directory.parent
    (tmp_path / "base").touch()
    with appliance_sandbox(RunDirectory(work), tmp_path, tmp_path, readonly=True, kvm=False) as sandbox:
        assert reached(other_side, sandbox.run, {**steps(daemon), "write an image": f": >>{IMAGES}/base"}) == set()
        seen = sandbox.run([BUSYBOX, "ls", "-A", "/export", str(IMAGES), "/root", "/var"], timeout=10).check().stdout
        etc = sandbox.run([BUSYBOX, "ls", "-A", "/etc"], timeout=10).check().stdout.split()
    assert seen.split("\n\n") == ["/export:\nimages", f"{IMAGES}:\nbase\nsecret", "/root:", "/var:\nrun\ntmp\n"]
    assert set(etc) <= {"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives"}


@pytest.mark.parametrize("backing", ["/usr/share/qemu/bios-256k.bin", "../../run/libvirt/libvirtd.pid", "nbd://host/x"])
def test_libguestfs_is_given_no_image_that_leads_elsewhere(daemon: Daemon, tmp_path: Path, backing: str) -> None:
    image = file_image(IMAGES, "lead")
    daemon.sandbox.outside(IMAGES).mkdir(exist_ok=True)
    make = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "raw", file_name(image.store), "1M"]
    daemon.sandbox.run(make, timeout=30).check()

    with pytest.raises(ImageError, match=r"it lies outside|is not visible outside|not simply a path"):
        appliance(daemon, tmp_path, [image], readonly=True)
    daemon.sandbox.outside(IMAGES / "lead.qcow2").unlink()


@pytest.mark.skipif(os.getuid() != 0, reason="only root has power to lose")
def test_without_its_user_namespace_root_is_out(apart: Daemon, other_side: OtherSide) -> None:
    out = reached(other_side, with_the_power_of_root(apart.sandbox), steps(apart))

    assert out >= {"write a sysctl after a remount", "make a device", "mount all devices", "read the kernel's log"}
    assert out >= {"set the host name", "set up an interface"}
    assert not out & {"see a process", "connect to this machine", "read a file"}  # what other namespaces keep from it


def test_qemu_and_libvirtd_are_bound_as_what_was_tried(vm: Vm, trial: Trial) -> None:
    first = Path(f"/proc/{trial.daemon.sandbox.pid}")
    inside = first / "root/proc"
    ours = Path("/proc/self/ns/user").readlink()
    for pid in (trial.daemon.pid, vm.domain.qemu_pid):
        bound = (inside / str(pid) / "ns/user").readlink()
        assert ours != bound == (first / "ns/user").readlink()
    state = dict(line.split(":\t") for line in (inside / str(vm.domain.qemu_pid) / "status").read_text().splitlines())
    assert state["Seccomp"] == "2"  # QEMU's own filter, which libvirt asks for
