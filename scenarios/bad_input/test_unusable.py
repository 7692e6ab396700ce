"""What cannot be used is said in one line, with what to do about it, and exit status 2."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.detect.inner_run import SCENARIO, inner_run
from harness.errors import Unusable
from harness.keeping.seal import seal
from harness.trial.ground import Ground, Platform
from harness.trial.trial import Trial
from harness.vm.domain import DomainFailed
from images.kept import SEAL


def test_an_unknown_option_value() -> None:
    ended = inner_run(SCENARIO, "--accel", "hvf")

    assert ended.exit_status == 2
    assert "argument --accel: invalid choice: 'hvf'" in ended.stderr


def test_a_work_directory_whose_path_is_too_long_for_a_socket() -> None:
    ended = inner_run(SCENARIO, "--work-dir", f"/var/tmp/{'x' * 90}")

    assert ended.exit_status == 2
    assert "path is too long for a socket" in ended.output
    assert "--work-dir" in ended.output


def test_a_full_disk_in_the_work_directory() -> None:
    small = ["bwrap", "--dev-bind", "/", "/", "--size", str(1 << 20), "--tmpfs", "/mnt"]
    ended = inner_run(SCENARIO, "--work-dir", "/mnt/work", within=small)

    assert ended.exit_status == 2
    assert re.search("has [01] MiB free.*; choose another: --work-dir", ended.output)


def test_kvm_that_hangs_its_guests(ground: Ground) -> None:
    if ground.acceleration.kvm:
        pytest.skip("KVM works on this machine")
    ended = inner_run(SCENARIO, "--accel", "kvm")

    assert ended.exit_status == 2
    assert "--accel kvm, but KVM does not work" in ended.output
    assert "use --accel tcg, or auto" in ended.output


def test_a_damaged_guest_image_is_built_anew(ground: Ground, tmp_path: Path) -> None:
    kept = tmp_path / "images" / ground.guest.digest
    shutil.copytree(ground.guest.directory, kept)
    whole = (kept / "initrd").read_bytes()
    (kept / "initrd").write_bytes(whole[: len(whole) // 2])

    ended = inner_run(SCENARIO, "--accel", "tcg", environment={"CHAINPROOF_CACHE": str(tmp_path)})

    assert ended.exit_status == 0, ended.output
    assert (kept / "initrd").stat().st_size == len(whole)


@pytest.mark.sabotaged
def test_a_qemu_that_dies_at_its_start_has_its_last_words_told(trial: Trial) -> None:
    trial.machines.machine = replace(trial.machines.machine, memory_mib=64 << 20)
    trial.create_base()
    vm = trial.define()

    with pytest.raises(DomainFailed, match="cannot set up guest memory"):
        vm.start()


@pytest.mark.sabotaged
def test_a_guest_that_never_gets_ready_has_its_console_told(trial: Trial) -> None:
    trial.create_base()
    vm = trial.define(root_on_vda=True)  # there is no file system on it

    told = "chainproof: cannot mount vda as the root file system"
    with pytest.raises(DomainFailed, match=told):
        vm.start()
    with pytest.raises(DomainFailed, match=told):  # QEMU's end is all that is known: libvirt is late to tell
        vm.domain.wait_agent(vm.domain.daemon.events.mark())


@pytest.mark.sabotaged
def test_a_guest_that_is_not_ready_in_time(trial: Trial) -> None:
    trial.create_base()
    domain = trial.define().domain

    with pytest.raises(DomainFailed, match=r"waited \d+ s for the guest agent to connect"):
        domain.start(timeout=0.2)


def test_a_daemon_that_fails_to_start_has_its_log_told(platform: Platform) -> None:
    stack = platform.stack
    with platform.daemon() as daemon:
        daemon.stop()
        (daemon.directory / "etc/libvirtd.conf").write_text("max_clients = several\n")
        with pytest.raises(Unusable, match=f"libvirtd of {re.escape(stack.name)} has ended with exit status") as caught:
            daemon.start()
    assert "/etc/libvirt/libvirtd.conf:1: expecting a value" in str(caught.value)


def test_a_stack_that_starts_no_vm_at_all_ends_the_run(ground: Ground, tmp_path: Path) -> None:
    kept = tmp_path / "images" / ground.guest.digest
    shutil.copytree(ground.guest.directory, kept)
    (kept / "vmlinux").write_bytes(b"no kernel")
    seal(kept, kept / SEAL)

    ended = inner_run(SCENARIO, "--accel", "tcg", environment={"CHAINPROOF_CACHE": str(tmp_path)})

    assert ended.exit_status == 2
    assert "chainproof: no VM can be started; see its last words" in ended.output
    assert "qemu: linux kernel too old to load a ram disk" in ended.output
