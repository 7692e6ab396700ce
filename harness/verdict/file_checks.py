"""The universal checks of files (O10): images and nothing else, as they were made; libvirt's own as its memory is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import libvirt

from harness.oracle.image import Image
from harness.oracle.state import MANAGED
from harness.stack.daemon import Daemon
from harness.stack.sandbox import IMAGES
from harness.storage.stores import path_of
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.verdict.check import DEFINED, OFF, ON, Check, Subject
from harness.verdict.finding import Finding

_LIBVIRTS = ("etc", "var/lib", "var/run")
"""Where libvirt keeps what it knows, below the daemon's directory; in session mode more of it is in etc."""


def files_as_expected(subject: Subject) -> Iterator[Finding]:
    """List the directory of images."""
    expected, seen = _expected_files(subject.trial), set(subject.trial.image_paths())
    if seen != expected:
        names = [", ".join(sorted(path.name for path in paths)) or "nothing" for paths in (expected, seen)]
        yield subject.wrong(f"the files are {names[0]}", f"they are {names[1]}")


def _expected_files(trial: Trial) -> set[PurePosixPath]:
    images = [image for vm in trial.state.vms for image in _images(trial, vm)]
    expected = {path for image in images if (path := path_of(image.store))}
    expected |= {PurePosixPath(data) for image in images if (data := image.format.data_file)}
    return {path for path in expected | trial.state.files if path.parent == IMAGES}


def _images(trial: Trial, vm: str) -> Iterator[Image]:
    for target, content in trial.state.vm(vm).known.items():
        yield from (trial.state.image(vm, target, name) for name in content.files())


def nature_of_files(subject: Subject) -> Iterator[Finding]:
    """Compare mode, owner and inode of the images, and files beside them, with those when they were first there."""
    known = {path.name for path in _expected_files(subject.trial)}
    for name, first, now in subject.trial.files.changed():
        if name in known:  # libvirt has files of its own for a while: a backup's
            yield subject.wrong(f"{name} stays {first}", f"it is {now}")


def definition_on_disk(subject: Subject) -> Iterator[Finding]:
    """Compare the file with the definition, which the next daemon reads, with what libvirt answers."""
    vm, file = subject.vm, _definition(subject.trial.daemon, subject.vm.name)
    answers = vm.is_persistent()
    if not vm.state.persistent:
        if answers or file.exists():
            seen = f"libvirt says that it {'has' if answers else 'has none'}"
            there = "is there" if file.exists() else "is not there"
            yield subject.wrong(f"{vm.name} is transient, and has no definition", f"{seen}; {file.name} {there}")
        return
    if not answers:
        yield subject.wrong(f"{vm.name} has a definition", "libvirt says that it has none")
        return
    known = subject.vm.xml(inactive=True)
    yield from _same(subject, file, _canonical(known), _canonical(_read(file)))


def status_on_disk(subject: Subject) -> Iterator[Finding]:
    """Compare the disks in the file with the running VM, which the next daemon reads, with what libvirt answers."""
    vm = subject.vm
    known = _disks(ElementTree.fromstring(vm.xml()))
    file = _status(subject.trial.daemon, vm.name)
    status = ElementTree.fromstring(subject.sight.kept[vm.name])
    domain = status.find("domain")
    yield from _same(subject, file, known, "" if domain is None else _disks(domain))
    expected = {"state": str(vm.state.power), "pid": str(vm.domain.qemu_pid)}
    seen = {name: status.get(name, "") for name in expected}
    jobs = [str(job.get("name")) for job in status.iterfind("blockjobs/blockjob")]
    if seen != expected or jobs:
        claim = f"{file.name} says that {vm.name} is {expected['state']} as process {expected['pid']}, without a job"
        yield subject.wrong(claim, f"it says {seen['state']}, {seen['pid']}; jobs: {', '.join(jobs) or 'none'}")


def records_of_snapshots(subject: Subject) -> Iterator[Finding]:
    """Ask libvirt for the snapshots that it has a record of, and their tree, and look for the files with them."""
    vm = subject.vm
    expected = sorted(vm.state.snapshots)
    listed = vm.domain.call("the snapshots", lambda handle: [str(each.getName()) for each in handle.listAllSnapshots()])
    wrong = list(_recorded(subject, "snapshot", expected, listed))
    if wrong or not expected:
        yield from wrong
        return
    parents = {name: record.parent for name, record in vm.state.snapshots.items()}
    seen = {name: _parent(vm, name) for name in listed}
    if seen != parents:
        yield subject.wrong(f"the snapshots come after {parents}", f"they come after {seen}")
    current = vm.domain.call("the current snapshot", _current)
    if current != vm.state.current:
        yield subject.wrong(f"the current snapshot is {vm.state.current or 'none'}", f"it is {current or 'none'}")


def _parent(vm: Vm, name: str) -> str:
    """The snapshot that one comes after; "" if it is a root."""

    def parent(handle: libvirt.virDomain) -> str:
        try:
            return str(handle.snapshotLookupByName(name).getParent().getName())
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
                raise
            return ""

    return vm.domain.call(f"the parent of {name}", parent)


def _current(handle: libvirt.virDomain) -> str:
    return str(handle.snapshotCurrent().getName()) if handle.hasCurrentSnapshot() else ""


def records_of_checkpoints(subject: Subject) -> Iterator[Finding]:
    """Ask libvirt for the checkpoints that it has a record of, and look for the files with them."""
    vm = subject.vm
    listed = vm.domain.call("the checkpoints", lambda handle: [str(c.getName()) for c in handle.listAllCheckpoints()])
    yield from _recorded(subject, "checkpoint", sorted(vm.state.checkpoints), listed)


def _recorded(subject: Subject, kind: str, expected: list[str], listed: list[str]) -> Iterator[Finding]:
    """A finding unless libvirt lists the things of a kind that are expected, and has a file of each."""
    kept = [file.stem for file in _files(subject.trial.daemon, subject.vm.name) if file.parent.parent.name == kind]
    if not sorted(listed) == sorted(kept) == expected:
        told = f"it has {', '.join(sorted(listed)) or 'none'}; in files: {', '.join(sorted(kept)) or 'none'}"
        yield subject.wrong(f"libvirt has records of the {kind}s {', '.join(expected) or 'none'}", told)


def left_of_vm(subject: Subject) -> Iterator[Finding]:
    """Look for what libvirt keeps of a VM while it is on."""
    vm, daemon = subject.vm, subject.trial.daemon
    vm.domain.state()  # libvirt knows by now that it is off
    kept = {_definition(daemon, vm.name)}
    records = ("snapshot", "checkpoint")
    files = [file for file in _files(daemon, vm.name) if file not in kept and file.parent.parent.name not in records]
    left = [file for file in files if file.name != f"{vm.name}.save"]
    expected = vm.state.saved == MANAGED
    told = bool(vm.domain.call("what was saved", lambda handle: handle.hasManagedSaveImage()))
    if not told == (left != files) == expected:
        seen = f"it says that it has {_memory(told)}, and in files {_memory(left != files)}"
        yield subject.wrong(f"libvirt has {_memory(expected)} of {vm.name}", seen)
    if left:
        names = ", ".join(str(file.relative_to(daemon.directory)) for file in left)
        yield subject.wrong(f"of {vm.name}, which is off, libvirt keeps its definition and its snapshots", names)


def _memory(saved: bool) -> str:
    return "what it has saved" if saved else "saved nothing"


def status_files(trial: Trial) -> dict[str, str]:
    """What libvirt has on disk of each VM that is on, by its name."""
    found = {}
    for vm in trial.vms:
        if vm.state.is_on:
            with suppress(libvirt.libvirtError, ValueError):  # the checks will say so
                vm.xml()  # it waits for whatever libvirt is just writing down
            found[vm.name] = _read(_status(trial.daemon, vm.name))
    return found


def _definition(daemon: Daemon, name: str) -> Path:
    return daemon.directory / f"etc/qemu/{name}.xml"


def _status(daemon: Daemon, name: str) -> Path:
    directory = "var/run/qemu" if daemon.mode == "system" else "var/run/qemu/run"
    return daemon.directory / directory / f"{name}.xml"


def _files(daemon: Daemon, name: str) -> Iterator[Path]:
    """What libvirt keeps of the VM of this name, but for logs: by the names of the files, or of directories."""
    of_it = re.compile(rf"(domain-\d+-)?{re.escape(name)}(\..*)?")
    for top in _LIBVIRTS:
        for path, _, files in os.walk(daemon.directory / top):  # which is not upset by what vanishes while it looks
            directory = Path(path)
            inside = any(map(of_it.fullmatch, directory.relative_to(daemon.directory).parts))
            yield from (directory / file for file in files if inside or of_it.fullmatch(file))


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return "<nothing/>"


def _canonical(xml: str) -> str:
    """The XML of a domain, or of a disk, in one form: libvirt keeps devices in an order of its own in memory."""
    root = ElementTree.fromstring(ElementTree.canonicalize(xml, strip_text=True))
    for devices in root.iterfind("devices"):
        devices[:] = sorted(devices, key=ElementTree.tostring)
    return ElementTree.tostring(root, encoding="unicode")


def _disks(domain: ElementTree.Element) -> str:
    """The disks in a domain's XML, without what libvirt keeps for itself alone."""
    disks = domain.findall("devices/disk")
    for disk in disks:
        for parent in list(disk.iter()):
            for private in parent.findall("privateData"):
                parent.remove(private)
            parent.attrib.pop("tlsFromConfig", None)
    return "\n".join(_canonical(ElementTree.tostring(disk, encoding="unicode")) for disk in disks)


def _same(subject: Subject, file: Path, known: str, kept: str) -> Iterator[Finding]:
    """A finding with the first elements that differ, if what is kept is not what is known."""
    if known != kept:
        one, other = (re.sub(r"(?<=>)(?=<)", "\n", text).splitlines() for text in (known, kept))
        at = next(i for i, (a, b) in enumerate(zip_longest(one, other)) if a != b)
        answers, holds = (" ".join(lines[at : at + 3]) or "nothing more" for lines in (one, other))
        yield subject.wrong(f"{file.name} on disk says what libvirt answers: {answers}", f"it says: {holds}")


FILE_CHECKS: tuple[Check, ...] = (
    Check("files", "O10: the images that should exist do, and no other file", "daemon", DEFINED, files_as_expected),
    Check("mode and owner", "O10: images stay the files that they were made as", "daemon", DEFINED, nature_of_files),
    Check("definition on disk", "O9: it is the one in memory, if any", "vm", DEFINED, definition_on_disk),
    Check("status on disk", "O9: so is the status of a VM that is on", "vm", ON, status_on_disk),
    Check("snapshots", "O9: libvirt has records of those that it should", "vm", DEFINED, records_of_snapshots),
    Check("checkpoints", "O9: and of those checkpoints", "vm", DEFINED, records_of_checkpoints),
    Check("left of a VM", "O10: libvirt keeps nothing else of a VM that is off", "vm", OFF, left_of_vm),
)
