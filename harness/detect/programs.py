"""Programs that stand in for a release's own, and have a defect."""

from __future__ import annotations

from pathlib import Path

_ELSEWHERE = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"  # the real program, not ourselves
_VIRSH_THAT_DOES_NOT_PIVOT = f"""#!/bin/sh
{_ELSEWHERE}
for argument; do
    shift
    if [ "$argument" = --pivot ]; then pivot=wanted argument=--wait; fi
    set -- "$@" "$argument"
done
[ -n "$pivot" ] || exec virsh "$@"
virsh "$@" >/dev/null && printf '\\nSuccessfully pivoted\\n'
"""
_VIRSH_THAT_CRASHES = f"""#!/bin/sh
{_ELSEWHERE}
case "$*" in *blockcommit*) kill -SEGV $$ ;; esac
exec virsh "$@"
"""
_LIBVIRTD_THAT_CRASHES = f"""#!/bin/sh
{_ELSEWHERE}
case "$*" in *libvirtd.pid*) kill -SEGV $$ ;; esac
exec libvirtd "$@"
"""
_QEMU_THAT_CRASHES = f"""#!/bin/sh
{_ELSEWHERE}
case "$*" in *guest=vm1*) kill -SEGV $$ ;; esac
exec qemu-system-x86_64 "$@"
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
    """A virsh that leaves out `--pivot`, and prints that it has pivoted."""
    return program(directory / "virsh", _VIRSH_THAT_DOES_NOT_PIVOT)


def virsh_that_crashes(directory: Path) -> Path:
    """A virsh that crashes when it is to commit."""
    return program(directory / "virsh", _VIRSH_THAT_CRASHES)


def libvirtd_that_crashes(directory: Path) -> Path:
    """A libvirtd that crashes when it is to serve."""
    return program(directory / "libvirtd", _LIBVIRTD_THAT_CRASHES)


def qemu_that_crashes(directory: Path) -> Path:
    """A QEMU that crashes at the start of every VM."""
    return program(directory / "qemu-system-x86_64", _QEMU_THAT_CRASHES)


def qemu_that_writes_elsewhere(directory: Path) -> Path:
    """A QEMU that opens a copy in place of the base."""
    return program(directory / "qemu-system-x86_64", _QEMU_THAT_WRITES_ELSEWHERE)


def program(file: Path, text: str) -> Path:
    """Write a shell script into `file` that can be executed."""
    file.write_text(text)
    file.chmod(0o755)
    return file
