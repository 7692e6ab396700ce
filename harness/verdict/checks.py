"""The universal checks: what must hold after every scenario, whatever it did.

The numbers are those of the project's catalogue of invariants (O1-O15).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from itertools import zip_longest

import libvirt

from harness.errors import AgentError, ChainproofError, CheckFailed, WaitTimeout
from harness.journal import Kind
from harness.oracle.parts import HOLE
from harness.stack.events import EventKind
from harness.trial.trial import Trial
from harness.verdict import chain_checks
from harness.vm.domain_xml import has_mirror
from harness.waiting import NotYet, wait_until

Check = Callable[[Trial], None]
# what an image may take beyond its data: qcow2 header, L1, L2, refcount table and blocks, at 64 KiB each
METADATA_SLACK_BYTES = 1 << 20


def verify_all(trial: Trial) -> None:
    """Run every check that applies to what the trial left; raises one CheckFailed for all that do not hold.

    A running VM is checked and, if all is well, shut off; then its images are. After a failure it still runs: the
    evidence is in it.
    """
    if not trial.has_domain:
        return
    _still_on(trial)
    if trial.domain.is_running():
        _raise_all(trial, LIVE)
        trial.domain.shut_off()
    _raise_all(trial, OFFLINE)
    trial.journal.record(Kind.CHECK, f"{len(LIVE) + len(OFFLINE)} universal checks hold")


def explain(trial: Trial, error: Exception) -> None:
    """Raise CheckFailed with QEMU's last words if what a scenario failed with, `error`, comes of QEMU's end."""
    if not trial.has_domain or not isinstance(error, AgentError | libvirt.libvirtError):
        return
    try:
        trial.domain.monitor("query-status")
    except ValueError:  # there is no daemon to ask
        return
    except libvirt.libvirtError:  # it is gone, or just going: libvirt may be the last to know
        with suppress(WaitTimeout):
            wait_until("libvirt to know of QEMU's end", lambda: _gone(trial), timeout=5)
        _still_on(trial)


def _gone(trial: Trial) -> None:
    if trial.domain.is_running():
        raise NotYet("it runs")


def _still_on(trial: Trial) -> None:
    if trial.domain.has_ended_by_itself():
        log = trial.domain.qemu_log_tail()
        said = [line for line in log.splitlines() if line.startswith("qemu-system")]  # its own words come last
        words = "\n".join([*said[-1:], "its log ends:", log])
        raise CheckFailed("the VM runs until it is shut off", "QEMU has ended by itself", words)


def _raise_all(trial: Trial, checks: tuple[tuple[str, Check], ...]) -> None:
    failures = []
    for name, check in checks:
        try:
            check(trial)
        except (ChainproofError, libvirt.libvirtError) as error:
            failures.append(f"{name}:\n{error}")
    if failures:
        claim = f"all {len(checks)} universal checks of the {'running' if checks is LIVE else 'shut off'} VM hold"
        raise CheckFailed(claim, f"{len(failures)} of them fail", "\n".join(failures))


def same_boot(trial: Trial) -> None:
    """O8: the guest has not rebooted."""
    if not trial.domain.guest.same_boot():
        raise CheckFailed("the guest runs on from its first boot", "it has rebooted: its boot id is another")


def same_qemu(trial: Trial) -> None:
    """O8: the QEMU process is the one that the VM was started with."""
    first, now = trial.domain.first_qemu_pid, trial.domain.qemu_pid
    if first != now:
        raise CheckFailed(f"QEMU is process {first}", f"it is process {now}")


def no_io_error(trial: Trial) -> None:
    """O8: the domain runs, and no disk of it has an error."""
    state = trial.domain.handle.state()[0]
    if state != libvirt.VIR_DOMAIN_RUNNING:
        raise CheckFailed("the domain is running", f"its state is {state} (virDomainState)")
    errors = trial.domain.handle.diskErrors()
    if errors:
        raise CheckFailed("no disk has an error", f"domblkerror: {errors}")
    heard = [event for event in trial.daemon.events.events[trial.first_event :] if event.kind is EventKind.IO_ERROR]
    if heard:
        raise CheckFailed("no I/O error event", "; ".join(map(str, heard)))


def content(trial: Trial) -> None:
    """O1, O2, O3: guest and images hold what the oracle says, by two readers; of an opaque disk, the readers agree."""
    if trial.domain.disk.opaque:
        if not trial.domain.is_running():
            _readers_agree(trial)
        return
    trial.verify("the end" if trial.domain.is_running() else "the end, shut off")


def no_job_left(trial: Trial) -> None:
    """O6: neither libvirt nor QEMU has a job, and the disk has no mirror."""
    disk = trial.domain.disk
    info = trial.domain.handle.blockJobInfo(disk.target)
    if info:
        raise CheckFailed("no block job is left", f"libvirt has {info}")
    for command in ("query-block-jobs", "query-jobs"):
        jobs = json.loads(trial.domain.monitor(command))["return"]
        if jobs:
            raise CheckFailed("no block job is left", f"{command}: {jobs}")
    if has_mirror(trial.domain.xml(), disk.target):
        raise CheckFailed("the disk has no mirror", "the live XML has <mirror>")


def events_in_order(trial: Trial) -> None:
    """O7: each job has at most one READY, before its one terminal event; both kinds of event say the same."""
    heard = trial.daemon.events.events[trial.first_event :]
    target = trial.domain.disk.target
    sequences = {
        kind: [(event.reason, event.status) for event in heard if event.kind is kind]
        for kind in (EventKind.BLOCK_JOB, EventKind.BLOCK_JOB_2)
    }
    others = [event for event in heard if event.kind is EventKind.BLOCK_JOB_2 and event.subject != target]
    if others:
        raise CheckFailed(f"events come for {target} only", "; ".join(map(str, others)))
    if sequences[EventKind.BLOCK_JOB] != sequences[EventKind.BLOCK_JOB_2]:
        raise CheckFailed("block-job and block-job-2 say the same", str(sequences))
    ready = False
    for job, status in sequences[EventKind.BLOCK_JOB_2]:
        if status == "ready" and (ready or job not in ("active-commit", "copy")):
            raise CheckFailed("one READY at most, of a two-phase job", str(sequences))
        ready = status == "ready"
    if ready:
        raise CheckFailed("every job has its terminal event", str(sequences))


def files_as_expected(trial: Trial) -> None:
    """O10: the images that should exist do, and nothing else lies beside them."""
    expected = {image.path for image in trial.domain.disk.images()}
    seen = set(trial.image_paths())
    if seen != expected:
        raise CheckFailed(f"the files are {chain_checks.names(expected)}", f"they are {chain_checks.names(seen)}")


def images_clean(trial: Trial) -> None:
    """O5: qemu-img check finds no error and no leak in any image."""
    for image in trial.domain.disk.images():
        trial.qemu_img.check(image.path)


def locks_released(trial: Trial) -> None:
    """O11: each image can be opened for writing."""
    for image in trial.domain.disk.images():
        done = trial.daemon.sandbox.run(["qemu-io", "-f", "qcow2", "-c", "quit", str(image.path)], timeout=60)
        if done.exit_status != 0 or done.stderr:
            raise CheckFailed(f"{image.path.name} can be opened for writing", done.output.strip())


def allocation_sane(trial: Trial) -> None:
    """O13: no image takes more than its data, by the oracle, and metadata."""
    disk = trial.domain.disk
    if disk.opaque:
        return
    part = disk.content.geometry.part_size
    for image in disk.images():
        data = part * sum(value is not HOLE for value in disk.content.contains(image.name))
        taken = trial.daemon.sandbox.outside(image.path).stat().st_blocks * 512
        if taken > data + METADATA_SLACK_BYTES:
            raise CheckFailed(f"{image.path.name} takes {data} bytes and metadata at most", f"it takes {taken}")


def daemon_unharmed(trial: Trial) -> None:
    """O14: the daemon is the same process, and logged no error that the scenario does not expect."""
    if trial.daemon.pid != trial.daemon_pid:
        raise CheckFailed(f"libvirtd is process {trial.daemon_pid}", f"it is process {trial.daemon.pid}")
    errors = trial.daemon.errors_logged(trial.daemon_log_start)
    unexpected = [line for line in errors if not any(re.search(known, line) for known in trial.expected_log)]
    if unexpected:
        raise CheckFailed("the daemon logs no error", "\n".join(unexpected[:10]))


def _readers_agree(trial: Trial) -> None:
    for image in trial.domain.disk.images():
        own, qemu = trial.reader.shows(image.path), trial.qemu_img.shows(image.path)
        if own != qemu:
            at = next(i for i, (a, b) in enumerate(zip_longest(own, qemu)) if a != b)
            raise CheckFailed(f"chainproof's reader and qemu-img read the same of {image}", f"they differ at byte {at}")


LIVE: tuple[tuple[str, Check], ...] = (
    ("same boot of the guest", same_boot),
    ("same QEMU process", same_qemu),
    ("no I/O error", no_io_error),
    ("content", content),
    ("chain in the live XML", chain_checks.chain_in_live_xml),
    ("end of the chain in the live XML", chain_checks.end_of_chain_in_live_xml),
    ("chain in the persistent definition", chain_checks.chain_in_definition),
    ("chain in QEMU", chain_checks.chain_in_qemu),
    ("chain in the image headers", chain_checks.chain_in_headers),
    ("chain in domblklist", chain_checks.chain_in_domblklist),
    ("no job left", no_job_left),
    ("events in order", events_in_order),
    ("files", files_as_expected),
)
OFFLINE: tuple[tuple[str, Check], ...] = (
    ("content, shut off", content),
    ("images clean", images_clean),
    ("locks released", locks_released),
    ("allocation", allocation_sane),
    ("daemon unharmed", daemon_unharmed),
)
