"""The universal checks: what must hold after every scenario, whatever it did.

The numbers are those of the project's catalogue of invariants (O1-O15).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

import libvirt

from harness.errors import ChainproofError, CheckFailed, QmpError
from harness.journal import Kind
from harness.oracle.image import File, Qcow2
from harness.oracle.state import Power
from harness.stack.events import EventKind
from harness.storage.formats import node
from harness.storage.stores import path_of, protocol_node
from harness.trial import measure
from harness.trial.trial import Trial
from harness.verdict.allocation import most_bytes, most_kept
from harness.verdict.chain_checks import CHAIN_CHECKS
from harness.verdict.check import DEFINED, OFF, ON, RUNNING, Check, Subject
from harness.verdict.event_checks import EVENT_CHECKS
from harness.verdict.explanation import no_crash, require_on
from harness.verdict.file_checks import FILE_CHECKS, status_files
from harness.verdict.finding import ChecksFailed, Finding
from harness.verdict.image_checks import IMAGE_CHECKS
from harness.verdict.node_checks import NODE_CHECKS
from harness.verdict.qemu_checks import QEMU_CHECKS
from harness.verdict.sight import Sight
from harness.vm.domain_view import alias_of, has_mirror


@dataclass
class Made:
    """What checks were made, by name and subject, and which were not, and why."""

    made: set[tuple[str, str]] = field(default_factory=set)
    not_made: dict[tuple[str, str], str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{len(self.made)} universal checks hold"


def verify_all(trial: Trial, explained: Callable[[Finding], bool] = lambda _: False) -> Made:
    """Make every check of every VM that there is; raises one ChecksFailed for all that do not hold.

    VMs that run are checked and, if all is well, shut off; then the images are. After a failure that is not `explained`
    (by a known bug) they still run: the evidence is in them. A check that cannot be made says why, in the journal and
    in what is returned.
    """
    made = Made()
    if trial.state.daemon is None:
        raise CheckFailed("libvirtd runs at the end of a scenario", "it was stopped, and not started again")
    kept = status_files(trial)
    require_on(trial)
    running = [vm for vm in trial.vms if vm.state.is_on]
    findings: list[Finding] = []
    if running:
        findings += look(Sight(trial, kept), made, ON)
        if not all(map(explained, findings)):
            raise ChecksFailed("all universal checks hold, with the VMs on", findings)
        for vm in running:
            if not vm.state.persistent:
                vm.redefine()
            vm.shut_off()
    findings += [finding for finding in look(Sight(trial), made, OFF) if finding not in findings]
    if findings:
        raise ChecksFailed("all universal checks hold, with all VMs off", findings)
    not_made = "; ".join(f"{check} of {subject}: {why}" for (check, subject), why in made.not_made.items())
    trial.journal.record(Kind.CHECK, str(made), {"not made": not_made} if not_made else None)
    return made


def look(
    sight: Sight, made: Made, only: frozenset[Power], wanted: Callable[[Check], bool] = lambda _: True
) -> list[Finding]:
    """Make the checks that are `wanted` of all VMs whose state is one of `only`, and enter them into `made`."""
    findings: list[Finding] = []
    for check in filter(wanted, CHECKS):
        for subject in check.subjects(sight, only=only):
            key = check.name, str(subject)
            if check.once and key in made.made:
                continue
            why_not = check.applies(subject)
            if why_not:
                made.not_made[key] = why_not
                continue
            made.made.add(key)
            findings += _looked(check, subject)
    return findings


def _looked(check: Check, subject: Subject) -> Iterator[Finding]:
    try:
        yield from check.look(subject)
    except CheckFailed as error:
        yield subject.wrong(error.claim, error.seen, error.difference)
    except (ChainproofError, libvirt.libvirtError, OSError) as error:
        yield subject.wrong("it can be looked at", str(error))


def _not_opaque(subject: Subject) -> str:
    return "its bytes are the guest's own" if subject.disk.opaque else ""


def _opaque_only(subject: Subject) -> str:
    return "" if subject.disk.opaque else "its bytes are held to the oracle"


def _has_room(subject: Subject) -> str:
    why_not = _not_opaque(subject)
    return why_not or ("" if isinstance(subject.image.store, File) else f"it is no file: {subject.image.store}")


def _can_be_opened(subject: Subject) -> str:
    if not subject.image.format.has_metadata:
        return f"{subject.image.format.name} has no metadata"
    is_readable = subject.disk.content.readable(subject.image.name)
    return "" if is_readable else f"an image below {subject.image} was removed"


def same_boot(subject: Subject) -> Iterator[Finding]:
    """Compare the kernel's name of the boot with the one when it was last started or reset."""
    if not subject.vm.domain.same_boot():
        seen = "it has rebooted: its boot id is another"
        yield subject.wrong("the guest runs on from its first boot", seen, subject.vm.domain.panic())


def same_qemu(subject: Subject) -> Iterator[Finding]:
    """Compare QEMU's pid with that when it was last started."""
    first, now = subject.vm.domain.first_qemu_pid, subject.vm.domain.qemu_pid
    if first != now:
        yield subject.wrong(f"QEMU is process {first}", f"it is process {now}")


def state(subject: Subject) -> Iterator[Finding]:
    """Ask libvirt for the domain's state."""
    expected = {Power.RUNNING: libvirt.VIR_DOMAIN_RUNNING, Power.PAUSED: libvirt.VIR_DOMAIN_PAUSED}
    power = subject.vm.state.power
    number, reason = subject.vm.domain.state()
    if number != expected.get(power, libvirt.VIR_DOMAIN_SHUTOFF):
        yield subject.wrong(f"it is {power}", f"its state is {number}, {reason} (virDomainState, reason)")


def no_io_error(subject: Subject) -> Iterator[Finding]:
    """Ask libvirt for the disks' errors, and look for an event of one."""
    errors = subject.vm.domain.call("diskErrors", lambda handle: handle.diskErrors())
    # QEMU resets what it tells of an error at a reset of the device alone: scenarios/fault/test_what_is_told.py
    if not subject.vm.state.io_errors.issuperset(errors):
        yield subject.wrong("no disk has an error", f"domblkerror: {errors}")
    seen = [event for event in subject.sight.events(subject.vm) if event.kind is EventKind.IO_ERROR]
    expected = subject.vm.state.io_errors
    known = {"", *(alias_of(subject.vm.xml(), target) for target in expected)}  # older releases do not name the disk
    if bool(seen) != bool(expected) or not known.issuperset(event.subject.partition(" ")[0] for event in seen):
        words = f"I/O error events of {', '.join(sorted(expected))}" if expected else "no I/O error event"
        yield subject.wrong(words, "; ".join(map(str, seen)) or "there is none")


def content(subject: Subject) -> Iterator[Finding]:
    """Have guest and images measured by independent readers."""
    measure.verify(subject.disk, "the end", subject.trial.readers)
    yield from ()


def readers_agree(subject: Subject) -> Iterator[Finding]:
    """Read all that an image shows by our own reader and by qemu-img."""
    trial, image = subject.trial, subject.image
    own, qemu = trial.reader.shows(image), trial.qemu_img.shows(image)
    if own != qemu:
        at = next(i for i, (a, b) in enumerate(zip_longest(own, qemu)) if a != b)
        yield subject.wrong(f"chainproof's reader and qemu-img read the same of {image}", f"they differ at byte {at}")


def no_job_left(subject: Subject) -> Iterator[Finding]:
    """Ask libvirt and QEMU for jobs, and look for a mirror in the XML."""
    domain, target = subject.vm.domain, subject.disk.target
    info = domain.call("blockJobInfo", lambda handle: handle.blockJobInfo(target))
    if info:
        yield subject.wrong("no block job is left", f"libvirt has {info}")
    if has_mirror(domain.xml(), target):
        yield subject.wrong("the disk has no mirror", "the live XML has <mirror>")


def no_job_in_qemu(subject: Subject) -> Iterator[Finding]:
    """Ask QEMU for jobs."""
    for command in ("query-block-jobs", "query-jobs"):
        jobs = subject.sight.qmp(subject.vm, command)
        if jobs:
            yield subject.wrong("no job is left in QEMU", f"{command}: {jobs}")


def domains_as_expected(subject: Subject) -> Iterator[Finding]:
    """Ask libvirt for all domains."""
    expected = sorted(vm.name for vm in subject.trial.vms)
    seen = sorted(domain.name() for domain in subject.trial.daemon.connection.listAllDomains())
    if seen != expected:
        yield subject.wrong(f"the domains are {', '.join(expected)}", f"they are {', '.join(seen) or 'none'}")


def images_clean(subject: Subject) -> Iterator[Finding]:
    """Have qemu-img check the image."""
    alone = subject.disk.content.is_encrypted(subject.image.name)
    subject.trial.qemu_img.check(subject.image, may_leak=subject.vm.state.may_leak, alone=alone)
    yield from ()


def locks_released(subject: Subject) -> Iterator[Finding]:
    """Have the storage daemon open the image alone for writing, with QEMU's locks."""
    image = subject.image
    spec = {**node(image.format, protocol_node(image.store)), "node-name": "written"}
    try:
        subject.trial.daemon.storage.execute([("blockdev-add", spec), ("blockdev-del", {"node-name": "written"})])
    except QmpError as error:
        yield subject.wrong(f"{image} can be opened for writing", str(error))


def allocation(subject: Subject) -> Iterator[Finding]:
    """Compare what the file takes with what its data and its metadata can, and with what something refers to."""
    image, disk = subject.image, subject.disk
    bitmaps = len(disk.content.bitmaps.get(image.name, {}))
    layer = disk.content.layer(image.name)
    most = most_bytes(layer, disk.content.geometry, bitmaps)
    path = path_of(image.store)
    assert path is not None
    taken = subject.trial.daemon.sandbox.outside(path).stat().st_blocks * 512
    if taken > most and not layer.had_memory:  # nobody can say how large that is
        yield subject.wrong(f"{image} takes {most} bytes at most: its data and metadata", f"it takes {taken}")
    if isinstance(image.format, Qcow2) and not subject.vm.state.may_leak:
        kept = most_kept(image.format, subject.trial.reader.in_use(image), bitmaps)
        if taken > kept:
            claim = f"{image} gives back what it has freed: it takes {kept} bytes at most, by what refers to them"
            yield subject.wrong(claim, f"it takes {taken}")


def daemon_unharmed(subject: Subject) -> Iterator[Finding]:
    """Compare the daemon's pid, and read its log."""
    trial = subject.trial
    ailment = trial.daemon.ailment()
    if ailment:
        yield subject.wrong("libvirtd and all around it live as long as a scenario", ailment)
    if trial.daemon.pid != trial.things.daemon_pid:
        yield subject.wrong(f"libvirtd is process {trial.things.daemon_pid}", f"it is process {trial.daemon.pid}")
    errors = trial.daemon.errors_logged(trial.daemon_log_start)
    unexpected = [line for line in errors if not any(re.search(known, line) for known in trial.state.noise)]
    if unexpected:
        yield subject.wrong("the daemon logs no error", "\n".join(unexpected[:10]))


CHECKS: tuple[Check, ...] = (
    Check("same boot of the guest", "O8: the guest has not rebooted", "vm", RUNNING, same_boot),
    Check("same QEMU process", "O8: QEMU is the process that the VM was started with", "vm", ON, same_qemu),
    Check("state", "O8: the domain is on, paused or off, as it was left", "vm", DEFINED, state),
    Check("no I/O error", "O8: no disk has an error", "vm", ON, no_io_error),
    Check("content", "O1, O2, O3: guest and images hold what the oracle says", "disk", RUNNING, content, _not_opaque),
    *CHAIN_CHECKS,
    *IMAGE_CHECKS,
    *NODE_CHECKS,
    Check("no job left", "O6: libvirt has no job, the disk has no mirror", "disk", ON, no_job_left),
    Check("no job in QEMU", "O6: QEMU has no job", "vm", ON, no_job_in_qemu),
    *EVENT_CHECKS,
    *FILE_CHECKS,
    Check("domains", "O10: the domains that should exist do, and no other", "daemon", DEFINED, domains_as_expected),
    Check("content, shut off", "O1, O3: the images hold what the oracle says", "disk", OFF, content, _not_opaque),
    Check("readers agree", "O3: two readers read the same", "image", OFF, readers_agree, _opaque_only),
    Check("images clean", "O5: qemu-img check finds no error and no leak", "image", OFF, images_clean, _can_be_opened),
    Check("locks released", "O11: the image can be opened for writing", "image", OFF, locks_released),
    Check("allocation", "O13: no image takes more than data and metadata", "image", OFF, allocation, _has_room),
    *QEMU_CHECKS,
    Check("no crash", "O14: no process of the release crashes", "daemon", DEFINED, no_crash),
    Check("daemon unharmed", "O14: the daemon lives, and logs no error", "daemon", DEFINED, daemon_unharmed),
)
