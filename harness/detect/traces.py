"""What saboteurs leave: each reads something that is another after one has fired than it was before."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from harness.detect.lies import Ear, liar
from harness.detect.saboteur import Scene, Trace


def digest(file: Path) -> str:
    """What a file is and holds; "" if it is not there."""
    if not file.is_file():
        return ""
    found = file.stat()
    return f"{found.st_mode} {found.st_uid} {found.st_ino} {hashlib.sha256(file.read_bytes()).hexdigest()}"


def image(name: str) -> Trace:
    """The file of the image of this name."""
    return lambda scene: digest(outside(scene, name))


def images(scene: Scene) -> object:
    """The names of the files among the images."""
    return scene.trial.image_paths()


def outside(scene: Scene, name: str) -> Path:
    """The file of an image on this machine."""
    return scene.trial.daemon.sandbox.outside(scene.trial.path(name))


def lies(scene: Scene) -> object:
    """How many calls were not done as they were told, events not heard as they were sent, answers not those given."""
    events = scene.trial.daemon.events.events
    return scene.lies, liar(scene.trial).lies, events.misheard if isinstance(events, Ear) else 0


def events(scene: Scene) -> object:
    """What libvirt has told, as far as the harness has heard it."""
    return tuple(scene.trial.daemon.events.events)


def boot(scene: Scene) -> object:
    """The kernel's name of the guest's boot."""
    return scene.vm.domain.agent.run("cat /proc/sys/kernel/random/boot_id")


def qemu(scene: Scene) -> object:
    """QEMU's pid."""
    return scene.vm.domain.qemu_pid


def ends(scene: Scene) -> object:
    """How many processes have ended in the sandbox."""
    return len(scene.trial.daemon.sandbox.ends())


def nodes(scene: Scene) -> object:
    """QEMU's block nodes, with their options and what hangs on them."""
    return scene.vm.domain.monitor("query-named-block-nodes")


def jobs(scene: Scene) -> object:
    """QEMU's jobs."""
    return scene.vm.domain.monitor("query-jobs")


def exports(scene: Scene) -> object:
    """QEMU's exports."""
    return scene.vm.domain.monitor("query-block-exports")


def qemu_log(scene: Scene) -> object:
    """The log of the VM's QEMU."""
    return scene.trial.qemu_log(scene.vm)


def daemon_log(scene: Scene) -> object:
    """What libvirtd has logged as errors."""
    return tuple(scene.trial.daemon.errors_logged(0))


def libvirts_files(scene: Scene) -> object:
    """What libvirt has on disk of its VMs."""
    directory = scene.trial.daemon.directory
    tops = (directory / "etc", directory / "var/run")
    return tuple(f"{file} {digest(file)}" for top in tops for file in sorted(top.rglob("vm1*")))


def definition(scene: Scene) -> object:
    """The persistent definition of the VM."""
    return scene.vm.xml(inactive=True)


def domains(scene: Scene) -> object:
    """The names of libvirt's domains."""
    return sorted(domain.name() for domain in scene.trial.daemon.connection.listAllDomains())


def processes(scene: Scene) -> object:
    """The processes in the sandbox, and which of them stand still or are dead."""
    found = {}
    for stat in scene.trial.daemon.sandbox.process(1).parent.glob("[0-9]*/stat"):
        with suppress(OSError):
            found[stat.parent.name] = stat.read_text().rpartition(")")[2].split()[0] in "TZ"
    return found
