"""Breaks things on purpose, for the proof that the checks catch it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.oracle import pattern
from harness.trial.trial import Trial

_ELSEWHERE = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"  # the real program, not ourselves
_VIRSH_THAT_DOES_NOT_PIVOT = f"""#!/bin/sh
{_ELSEWHERE}
for argument; do
    shift
    if [ "$argument" = --pivot ]; then pivot=asked argument=--wait; fi
    set -- "$@" "$argument"
done
[ -n "$pivot" ] || exec virsh "$@"
virsh "$@" >/dev/null && printf '\\nSuccessfully pivoted\\n'
"""
_QEMU_THAT_WRITES_ELSEWHERE = f"""#!/bin/sh
{_ELSEWHERE}
for argument; do
    shift
    case $argument in
        *'"filename":"/export/images/base.qcow2"'*)
            cp /export/images/base.qcow2 /export/images/other.qcow2
            argument=$(printf '%s' "$argument" | sed 's#/base.qcow2#/other.qcow2#')
            ;;
    esac
    set -- "$@" "$argument"
done
exec qemu-system-x86_64 "$@"
"""


def virsh_that_does_not_pivot(directory: Path) -> Path:
    """A virsh that leaves out `--pivot`, and says that it has pivoted."""
    return _program(directory / "virsh", _VIRSH_THAT_DOES_NOT_PIVOT)


def qemu_that_writes_elsewhere(directory: Path) -> Path:
    """A QEMU that opens a copy where it was told to open the base."""
    return _program(directory / "qemu-system-x86_64", _QEMU_THAT_WRITES_ELSEWHERE)


def _program(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o755)
    return file


@contextmanager
def flipped_bit(trial: Trial, image: str, label: str, cell: int) -> Iterator[None]:
    """For the body, one bit in the middle of layer `label`'s marker of `cell` is another in the file of `image`."""
    marker = _marker(trial, label, cell)
    broken = bytearray(marker)
    broken[len(broken) // 2] ^= 1
    _replace(trial, image, marker, bytes(broken))
    try:
        yield
    finally:
        _replace(trial, image, bytes(broken), marker)


def put_back(trial: Trial, image: str, label: str, cell: int, stale: str) -> None:
    """Replace layer `label`'s marker of `cell` in the file of `image` by that of `stale`: as if its write was lost."""
    _replace(trial, image, _marker(trial, label, cell), _marker(trial, stale, cell))


def lose_running_state(trial: Trial) -> None:
    """Remove what the stopped libvirtd kept of running VMs: the next one starts on an empty state directory."""
    for file in _running_state(trial):
        file.unlink()


def forget_jobs(trial: Trial) -> None:
    """Remove the block jobs from what the stopped libvirtd kept of running VMs."""
    for file in _running_state(trial):
        file.write_text(re.sub(r"<blockjobs.*</blockjobs>", "<blockjobs active='no'/>", file.read_text(), flags=re.S))


def _running_state(trial: Trial) -> list[Path]:
    kept = list((trial.daemon.directory / "var/run").rglob(f"{trial.domain.name}.xml"))
    if not kept:
        raise ValueError("libvirtd has kept nothing of the running VM")
    return kept


def _marker(trial: Trial, label: str, cell: int) -> bytes:
    size = trial.domain.disk.content.geometry.cell_size
    return pattern.fill(label, trial.run, cell * size, size, size)


def _replace(trial: Trial, image: str, old: bytes, new: bytes) -> None:
    file = trial.daemon.sandbox.outside(trial.domain.disk.path(image))
    at = file.read_bytes().index(old)
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(new)
