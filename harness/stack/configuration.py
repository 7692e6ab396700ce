"""What a private daemon finds in its run directory: its configuration, and the few files of /etc that it asks for."""

from __future__ import annotations

import uuid
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import quote

from harness.settings import Mode

SESSION_UID = 1000
LIBVIRTD_CONF = PurePosixPath("/etc/libvirt/libvirtd.conf")
SOCKETS = PurePosixPath("/chainproof/sock")
_LOG = PurePosixPath("/var/log/libvirt/libvirtd.log")

# identical on every release from 7.0 on: a sandbox has no cgroups, no virtlogd and one user
_SESSION = """\
security_driver = "none"
namespaces = [ ]
stdio_handler = "file"
backup_tls_x509_cert_dir = "/export/pki"
backup_tls_x509_verify = 0
"""
_SYSTEM = f"""\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = [ ]
{_SESSION}"""
# without it libvirt asks QEMU for each CPU property by itself at every start, 400 times; with it, the live XML and the
# domain's capabilities are the same (libvirt 9.0), and a start takes 0.4 of the time
_QUICK = 'capability_filters = [ "cpu-unavailable-features" ]\n'
_LIBVIRTD = """\
unix_sock_dir = "{sockets}"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
log_outputs = "2:file:{log}"
keepalive_interval = -1
"""
_MONITORED = 'log_filters = "2:qemu.qemu_monitor"\n'


def lay_out(directory: Path, mode: Mode, *, stock: bool, monitored: bool) -> None:
    """Make the directories and files that a daemon needs in `directory`; the rest is as in daemon.Setup."""
    for name in ("etc", "sock", "export/images", "export/pki", "var/run", "var/lib", "var/log", "var/cache", "record"):
        (directory / name).mkdir(parents=True)
    etc = directory / "etc"
    # libvirt 9 wants the user libvirt-qemu to exist although qemu.conf names another
    (etc / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nlibvirt-qemu:x:64055:64055::/:/bin/false\n"
        f"chainproof:x:{SESSION_UID}:{SESSION_UID}::/root:/bin/sh\n"
    )
    (etc / "group").write_text(f"root:x:0:\nlibvirt-qemu:x:64055:\nchainproof:x:{SESSION_UID}:\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    qemu_conf = _SYSTEM if mode == "system" else _SESSION
    (etc / "qemu.conf").write_text(qemu_conf if stock else qemu_conf + _QUICK)
    libvirtd_conf = _LIBVIRTD.format(sockets=SOCKETS, uuid=uuid.uuid4(), log=_LOG)
    (etc / LIBVIRTD_CONF.name).write_text(libvirtd_conf + _MONITORED if monitored else libvirtd_conf)


def uri_of(mode: Mode, sockets: PurePath) -> str:
    """Where clients find the daemon whose socket is in the directory `sockets`, whatever that is called."""
    return f"qemu+unix:///{mode}?socket={quote(bytes(sockets / 'libvirt-sock'))}"
