"""Known bugs of releases: one table; a scenario that meets one is expected to fail, on affected versions only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.stack.stack import Stack
from harness.stack.version import Version, compare
from harness.verdict.finding import Finding

Component = Literal["libvirt", "QEMU"]


ROUNDS = 5


@dataclass(frozen=True)
class KnownBug:
    """A bug that scenarios meet: those whose id `scenario` matches (regex) fail with findings that it `explains`.

    `check` matches (regex) the name of the check that finds it, the kind of error where the scenario broke off with
    one, "" for what the scenario itself claims; `shows` matches (regex) the finding's claim, what was seen and the
    difference, in lines.
    `url` is empty where no upstream reference was found.
    Affected is every upstream version from `since` up to, but not with, `fixed` (None: not fixed yet), but for
    packages into which a distribution took the fix: `fixed_packages` are (from, up to but not with) package versions.
    `since`: the first bad version upstream names, else the oldest we measured as bad. `fixed`: likewise for good.
    Versions outside are not expected to fail.
    A program that the harness itself has made (harness.explore) meets it if `acts` matches (regex) what was done of it,
    a line for each act; acts of the kind `left_out` are not explored on what it affects: each would take minutes. A bug
    that shows only `sometimes` makes no unexpected pass: the scenarios that this names
    (regex) are run until it shows, ROUNDS times at most.
    """

    scenario: str
    check: str
    shows: str
    component: Component
    since: str
    fixed: str | None
    url: str
    sentence: str
    measured: str
    fixed_packages: tuple[tuple[str, str], ...] = ()
    sometimes: str = ""
    acts: str = ""
    left_out: str = ""

    def explains(self, finding: Finding) -> bool:
        """True if this is how the bug shows."""
        words = "\n".join((finding.claim, finding.seen, finding.difference))
        return re.fullmatch(self.check, finding.check) is not None and re.search(self.shows, words) is not None

    def affects(self, stack: Stack) -> bool:
        """True if this stack has the bug."""
        version: Version = stack.libvirt_version if self.component == "libvirt" else stack.qemu_version
        if not version.is_at_least(self.since) or (self.fixed is not None and version.is_at_least(self.fixed)):
            return False
        package = version.package
        return not any(
            package and compare(package, first) >= 0 and compare(package, end) < 0 for first, end in self.fixed_packages
        )


_NEWS_7_3 = "https://libvirt.org/news.html#v7-3-0-2021-05-03"
_NEWS_9_1 = "https://libvirt.org/news.html#v9-1-0-2023-03-01"
_NEWS_12_0 = "https://libvirt.org/news.html#v12-0-0-2026-01-15"
KNOWN_BUGS: tuple[KnownBug, ...] = (
    KnownBug(
        scenario=r"test_abort_after_ready_leaves_the_chain|test_a_(copy|commit)_that_is_given_up|ended_without_waiting",
        check="",
        shows=r"the disk's content at (aborted|given up) is as the oracle says\n(.*\n)*(base|copy) +expected",
        component="libvirt",
        since="7.0.0",
        fixed="7.3.0",
        url=_NEWS_7_3,
        sentence="An aborted active commit or copy leaves out the guest's last writes: it is cancelled by force.",
        measured="shows on 7.0.0-3+deb11u4, not on 9.0.0-4+deb12u2",
        sometimes=r"test_abort_after_ready_leaves_the_chain|test_a_copy_that_is_given_up",  # it may be copied by then
    ),
    KnownBug(
        scenario=r"^scenarios/",
        check="events in order",
        shows=r"one READY at most",
        component="libvirt",
        since="7.0.0",
        fixed="7.3.0",
        url=_NEWS_7_3,
        sentence="A second READY is passed on, and may be taken for an abort.",
        measured="shows on 7.0.0-3+deb11u4, not on 9.0.0-4+deb12u2",
        sometimes=r"test_writes_after_ready_are_in_the_base",  # any active commit may meet it: one is enough to repeat
    ),
    KnownBug(
        scenario=r"test_it_is_noticed_.*a reboot of the guest",
        check="DomainFailed",
        shows=r"waited \d+ s for the guest agent to connect",
        component="QEMU",
        since="5.2.0",
        fixed="7.2.0",
        url="",
        sentence="After a reset the processor of a q35 machine (not of a pc) stays at F000:FFF0 under TCG.",
        measured="shows on 1:5.2+dfsg-11+deb11u5, not on 1:7.2+dfsg-7+deb12u18; no reference found",
        sometimes=r"test_it_is_noticed_.*a reboot of the guest",  # not with KVM
        left_out="Reset",
    ),
    KnownBug(
        scenario=r"test_a_full_pull_makes|test_a_pull_of_a_layer_that_stands_alone|\[.*virDomainBlockPull|paused_while.*[\[-]pull",
        check="end of the chain in the live XML",
        shows=r"",
        component="libvirt",
        since="7.0.0",
        fixed="7.3.0",
        url=_NEWS_7_3,
        sentence="After a full pull the live XML no longer says that the chain ends.",
        measured="shows on 7.0.0-3+deb11u4, not on 9.0.0-4+deb12u2",
    ),
    KnownBug(
        scenario=r"test_deleting_a_snapshot_of_memory_and_disk",
        check="files",
        shows=r"the files are base.qcow2\nthey are base.qcow2, memory\n$",
        component="libvirt",
        since="9.0.0",  # before, external snapshots could not be deleted
        fixed="9.1.0",
        url=_NEWS_9_1,
        sentence="A snapshot of memory and disk leaves the file with the memory behind when it is deleted.",
        measured="shows on 9.0.0-4+deb12u2, not on 11.3.0-2~bpo12+1",
    ),
    KnownBug(
        scenario=r"test_a_vm_on_a_chain_of_many_images",
        check="DomainFailed",
        shows=r"vm1 did not start: internal error: failed to parse JSON: nesting too deep\n",
        component="libvirt",
        since="10.8.0",  # upstream: from then on it parses JSON by json-c
        fixed="12.0.0",
        url=_NEWS_12_0,
        sentence="A VM with more than about 25 images in a chain does not start.",
        measured="shows on 11.3.0-2~bpo12+1 and 11.3.0-3+deb13u3, not on 9.0.0-4+deb12u2 and 12.8.0-1",
    ),
    KnownBug(
        scenario=r"test_zeros_that_meet_an_allocating_write",
        check="",
        shows=r"qemu-img check finds nothing wrong with base.qcow2\n.*corruptions(.*\n)*.*ERROR cluster \d+ refcount=0",
        component="QEMU",
        since="5.2.0",
        fixed="10.0.11",  # and 11.1; between them nobody looked
        url="https://gitlab.com/qemu-project/qemu/-/commit/b8bfb1478d61512f851badd0d912c6661a2efee7",
        sentence="qcow2: a discard during a write that allocates leaves the cluster in use with no reference counted.",
        measured="shows on 1:5.2+dfsg-11+deb11u5, 1:7.2+dfsg-7+deb12u18 and 1:10.0.2+ds-2+deb13u1~bpo12+1,"
        " not on 1:10.0.13+ds-0+deb13u1 and 1:11.1.2+ds-3",
    ),
    KnownBug(
        scenario=r"test_a_client_reads_the_instant_at_which_the_backup_began.*[\[-]iothread",
        check="",
        shows=r"QEMU has ended by itself: it was ended by SIGABRT\n(.*\n)*"
        r".*nbd_blockdev_client_closed: Assertion `qemu_in_main_thread\(\)",
        component="QEMU",
        since="7.2.14",  # Debian's: it came with the fix of CVE-2024-7409
        fixed="10.0.2",
        url="https://github.com/abbbi/virtnbdbackup/issues/254",
        sentence="The NBD client of a pull backup that leaves ends the VM, if its disk is on an iothread.",
        measured="shows on 1:7.2+dfsg-7+deb12u18, not on 1:10.0.2+ds-2+deb13u1~bpo12+1",
    ),
    KnownBug(
        scenario=r"test_abort_after_ready_leaves_the_chain|test_a_commit_that_is_given_up|"
        r"_is_refused_.*[\[-](second job|snapshot during a job|(pull|copy) during a commit)\]|"
        r"ended_without_waiting.*[\[-]active commit",
        check="options of block nodes",
        shows=r"the node \S+ of \S+ runs with ro True\nit runs with ro False",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="An active commit that is cancelled at READY leaves its base open for writing.",
        measured="shows on 1:5.2+dfsg-11+deb11u5, 1:7.2+dfsg-7+deb12u18, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1; no"
        " reference found: scenarios/findings/active-commit-cancelled-leaves-base-writable.md",
    ),
    KnownBug(
        scenario=r"test_what_was_pulled_outlives_a_killed_qemu",
        check="",
        shows=r"the disk's content (at killed|after KillQemu\(\)) is as the oracle says.*\n(.*\n)*"
        r".*contains: cells? [\d-]+(, its bytes [\d-]+,)? should be \w+, is a hole",
        component="QEMU",
        since="5.2.0",
        fixed="10.0.13",  # between 7.2 and it nobody looked
        url="",
        sentence="What a completed pull has copied is lost if QEMU is killed before the next flush.",
        measured="shows on 1:5.2+dfsg-11+deb11u3 and 1:7.2+dfsg-7+deb12u18+b3, not on 1:10.0.13+ds-0+deb13u1 and"
        " 1:11.1.3+ds-1; no reference found: scenarios/findings/pull-and-commit-let-go-of-backing-file-too-early.md",
        acts=r"^(.*\n)*Pull\((.*\n)*KillQemu\(",
    ),
    KnownBug(
        scenario=r"test_a_vm_that_is_paused_while_a_job_is_held_back",
        check="",
        shows=r"QEMU has ended by itself: it was ended by (SIGABRT|SIGSEGV)",
        component="QEMU",
        since="7.2.0",  # not on 5.2; between them nobody looked
        fixed="10.0.13",  # the same
        url="",
        sentence="A VM that is paused while a commit or a pull is held back by its speed limit ends by a crash.",
        measured="shows on 1:7.2+dfsg-7+deb12u18+b3, not on 1:5.2+dfsg-11+deb11u3, 1:10.0.13+ds-0+deb13u1 and"
        " 1:11.1.3+ds-1; no reference found: scenarios/findings/pause-while-a-job-is-slowed-down-crashes.md",
        sometimes=r"test_a_vm_that_is_paused_while_a_job_is_held_back",
        acts=r"^(.*\n)*(Commit|Pull)\(.*bandwidth=1",  # other acts that drain nodes meet it, too
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="DomainFailed",
        shows=r"waited \d+ s for the guest agent to connect",
        component="libvirt",
        since="9.0.0",
        fixed="12.8.0",  # not on it; between 11.3 and it nobody looked
        url="",
        sentence="While a backup is on, libvirt does not hear that the agent of a guest that was reset has connected.",
        measured="shows on 9.0.0-4+deb12u2 and 11.3.0-3+deb13u3, not on 12.8.0-1; no reference found:"
        " scenarios/findings/backup-keeps-libvirt-from-hearing-of-an-agent.md",
        acts=r"^(.*\n)*BeginPullBackup\((.*\n)*Reset\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="chain in the persistent definition",
        shows=r"",
        component="libvirt",
        since="7.0.0",
        fixed=None,
        url="",
        sentence="A libvirtd that dies before it has written the definition leaves the former active layer there.",
        measured="shows on 7.0.0-3+deb11u3, 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found:"
        " scenarios/findings/libvirtd-killed-before-it-wrote-the-definition.md",
        acts=r"^(.*\n)*(Snapshot|Pivot|DeleteSnapshot)\(.*\nKillDaemon\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="chain in QEMU|block nodes|files|snapshots|libvirtError",
        shows=r"\b(n1|scratch)\b|QEMU command 'block-commit'|libvirt has records of the snapshots",
        component="libvirt",
        since="7.0.0",
        fixed=None,
        url="",
        sentence="A libvirtd that dies in a snapshot, copy or backup leaves nodes and files, or has the former chain.",
        measured="shows on 7.0.0-3+deb11u3, 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found:"
        " scenarios/findings/libvirtd-killed-in-a-snapshot-goes-on-with-the-former-chain.md",
        acts=r"^(.*\n)*(Snapshot|DeleteSnapshot|Copy|BeginPullBackup|EndBackup)\(.*\nKillDaemon\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="",
        shows=r"(Abort|Pivot|DeleteSnapshot|EndBackup)\(.*has happened or has not\n"
        r"neither(.*\n)*seen .*('ending'|'job of vm1': 'on'.*'job of vm1 vda': 'none')",
        component="libvirt",
        since="7.0.0",
        fixed=None,
        url="",
        sentence="A libvirtd that dies at the end of a job waits for that job as long as the VM runs.",
        measured="shows on 7.0.0-3+deb11u3, 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found:"
        " scenarios/findings/libvirtd-killed-at-the-end-of-a-job-waits-for-it-forever.md",
        acts=r"^(.*\n)*(Abort|Pivot|DeleteSnapshot|EndBackup)\(.*\nKillDaemon\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="chain in (the live XML|the persistent definition|QEMU)|block nodes|",
        shows=r"^the chain in the |^QEMU has |(AwaitCompleted|Pivot)\(.*has happened or has not\n"
        r"neither(.*\n)*seen .*vda': 'none'",
        component="libvirt",
        since="7.0.0",
        fixed=None,
        url="",
        sentence="A libvirtd that dies at the end of a job takes what was done for not done: it has the former chain.",
        measured="shows on 7.0.0-3+deb11u3, 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found:"
        " scenarios/findings/libvirtd-killed-at-the-end-of-a-job-waits-for-it-forever.md",
        acts=r"^(.*\n)*(AwaitCompleted|Pivot|Pull|Commit)\(.*\nKillDaemon\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="",
        shows=r"libvirtd takes up vm1, which is on\nits state is 5, 0(.*\n)*.*unknown mirror job type ''",
        component="libvirt",
        since="7.0.0",
        fixed="11.3.0",  # between them nobody looked
        url="",
        sentence="At the end of a job the status has a mirror of no type, which the next libvirtd cannot read.",
        measured="shows on 7.0.0-3+deb11u3 and 9.0.0-4+deb12u2, not on 11.3.0-3+deb13u3 and 12.8.0-1; no reference"
        " found: scenarios/findings/libvirtd-killed-at-the-end-of-a-job-waits-for-it-forever.md",
        acts=r"^(.*\n)*(Abort|Pivot|DeleteSnapshot|EndBackup)\(.*\nKillDaemon\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="",
        shows=r"Abort\(.*has happened or has not\n"
        r"neither(.*\n)*seen .*vm1 vda': '[^ ]*/base.qcow2', 'job of vm1 vda': 'none'",
        component="libvirt",
        since="9.0.0",
        fixed=None,
        url="",
        sentence="A libvirtd that dies in an abort is followed by one that takes it for a pivot, and has the base.",
        measured="shows on 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found:"
        " scenarios/findings/libvirtd-killed-in-an-abort-takes-it-for-a-pivot.md",
        acts=r"^(.*\n)*ActiveCommit\((.*\n)*Abort\(.*\nKillDaemon\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="",
        shows=r"BeginPullBackup\(.*has happened or has not\nneither(.*\n)*seen .*backup job data missing",
        component="libvirt",
        since="9.0.0",  # 7.0 has no backups
        fixed=None,
        url="",
        sentence="A libvirtd that dies at the start of a backup leaves a job of the domain that has no data.",
        measured="shows on 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found:"
        " scenarios/findings/libvirtd-killed-at-the-start-of-a-backup-leaves-a-job-without-data.md",
        acts=r"^(.*\n)*BeginPullBackup\(.*\nKillDaemon\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="",
        shows=r"libvirtd takes up vm1, which is on\nit does not: Failed to open file '[^']*/n1",
        component="libvirt",
        since="9.0.0",  # before, external snapshots could not be deleted
        fixed=None,
        url="",
        sentence="A libvirtd that dies in a deletion may have removed an overlay that the definition still names.",
        measured="shows on 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found:"
        " scenarios/findings/deleted-snapshot-is-removed-before-it-is-let-go.md",
        acts=r"^(.*\n)*DeleteSnapshot\(.*\nKillDaemon\(",
    ),
    KnownBug(
        scenario=r"[\[-]shallow(, to| copy to) an overlay that is there|^scenarios/explore/",
        check="",
        shows=r"the disk's content (at|after) .* is as the oracle says\n(.*\n)*(copy|n\d) contains: .*zero, is a hole",
        component="QEMU",
        since="11.1.3",  # 10.0.13 has it not; between them nobody looked
        fixed=None,
        url="",
        sentence="A shallow copy to an overlay that is there loses zeros that the guest writes while it is in sync.",
        measured="shows on 1:11.1.3+ds-1, not on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18+b3 and"
        " 1:10.0.13+ds-0+deb13u1; no reference found: scenarios/findings/shallow-copy-to-an-overlay-loses-zeros.md",
        acts=r"^(.*\n)*Copy\(.*shallow=True, reuse=True",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="left of a VM",
        shows=r"var/lib/qemu/domain-\d+-vm1/master-key.aes",
        component="libvirt",
        since="7.0.0",
        fixed="9.0.0",  # between them nobody looked
        url="",
        sentence="A libvirtd that dies while it ends a VM leaves the VM's directory, with its master key.",
        measured="shows on 7.0.0-3+deb11u3, not on 9.0.0-4+deb12u2; no reference found",
        acts=r"^(.*\n)*ShutOff\(.*\nKillDaemon\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="",
        shows=r"libvirtd was ended by SIGSEGV",
        component="libvirt",
        since="7.0.0",
        fixed=None,
        url="",
        sentence="After a libvirtd that died at the start of an active commit, the next one crashes when that ends.",
        measured="shows on 7.0.0-3+deb11u3, 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found:"
        " scenarios/findings/libvirtd-crashes-when-it-aborts-a-job-that-it-took-up.md",
        acts=r"^(.*\n)*(DeleteSnapshot\(.*\nKillDaemon|ActiveCommit\(.*\nKillDaemon\((.*\n)*Abort)\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/|paused_while.*[\[-]pull",
        check="holes",
        shows=r"holds nothing where nothing was written",
        component="QEMU",
        since="5.2.0",
        fixed="7.2.0",  # between them nobody looked
        url="",
        sentence="While a whole pull is on, what the guest reads where nothing was written is copied up as zeros.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, not on 1:7.2+dfsg-7+deb12u18+b3; no reference found",
        acts=r"^(.*\n)*Pull\(",
    ),
    KnownBug(
        scenario=r"test_an_active_commit_into_a_raw_base|test_a_raw_base_is_merged_into|test_a_raw_disk_is_copied|"
        r"what_its_flags_say.*raw|^scenarios/explore/",
        check="exports and bitmaps",
        shows=r"of (base|two|copy|n\d) has no bitmap\n.*libvirt-tmp-activewrite",
        component="libvirt",
        since="11.3.0",
        fixed=None,
        url="",
        sentence="An active commit into, or a copy to, a raw image leaves libvirt's bitmap of the last writes on it.",
        measured="shows on 11.3.0-3+deb13u3 and 12.8.0-1, not on 7.0.0-3+deb11u4 and 9.0.0-4+deb12u2; no"
        " reference found: scenarios/findings/raw-base-keeps-bitmap-of-active-commit.md",
    ),
    KnownBug(
        scenario=r"test_a_raw_base_is_merged_into",
        check="daemon unharmed",
        shows=r"^the daemon logs no error\n(.*'transaction': Bitmap already exists: libvirt-tmp-activewrite\n?)+$",
        component="libvirt",
        since="11.3.0",
        fixed=None,
        url="",
        sentence="An active commit into a raw base trips over the bitmap that the former one has left.",
        measured="shows on 11.3.0-3+deb13u3 and 12.8.0-1, not on 7.0.0-3+deb11u4 and 9.0.0-4+deb12u2; no"
        " reference found: scenarios/findings/raw-base-keeps-bitmap-of-active-commit.md",
    ),
    KnownBug(
        scenario=r"test_a_copy_|test_a_raw_disk_is_copied|slowed_down_goes_on.*-copy|^scenarios/explore/",
        check="exports and bitmaps",
        shows=r"of (copy|two|n\d) has no bitmap\n.*libvirt-tmp-activewrite",
        component="libvirt",
        since="7.0.0",
        fixed="9.0.0",  # between them nobody looked
        url="",
        sentence="A copy that is pivoted keeps libvirt's bitmap of the last writes, which goes on recording.",
        measured="shows on 7.0.0-3+deb11u4, not on 9.0.0-4+deb12u2 and 11.3.0-3+deb13u3; no reference found",
    ),
    KnownBug(
        scenario=r"^scenarios/",  # with --power-loss: any that pulls, or commits layers that are not active
        check="power loss",
        shows=r"parts are not what was flushed(.*\n)*unflushed calls that survive: (.*; )?write \d+ bytes at 0 of",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="A pull, or a commit, lets go of the backing file before what it has copied is flushed.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1; no"
        " reference found: scenarios/findings/pull-and-commit-let-go-of-backing-file-too-early.md",
        sometimes=r"test_a_power_loss_at_any_write_of_a_pull",
        acts=r"^(.*\n)*(Pull|Commit|DeleteSnapshot)\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",  # its other form: the header has been flushed, and the table has not
        check="power loss",
        shows=r"parts are not what was flushed(.*\n)*"
        r"(all calls had been flushed|unflushed calls that survive: (none\n.* lost: .*write|.*\n.* lost: none))",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="A pull, or a commit, flushes a header that lets go of the backing file before what it has copied.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1; no"
        " reference found: scenarios/findings/pull-and-commit-let-go-of-backing-file-too-early.md",
        acts=r"^(.*\n)*(Pull|Commit|DeleteSnapshot)\(",
    ),
    KnownBug(
        scenario=r"^scenarios/(?!explore)",  # the same, with --power-loss
        check="power loss",
        shows=r"power loss (during|after): (a (commit|pull) of|the job of \w+ is completed)(.*\n)*"
        r".* parts are not what was flushed(.*\n)*(all calls had been flushed|.* lost: none)",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="A pull, or a commit, flushes a header that lets go of the backing file before what it has copied.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1; no"
        " reference found: scenarios/findings/pull-and-commit-let-go-of-backing-file-too-early.md",
        sometimes=r"(?!)",
    ),
    KnownBug(
        scenario=r"test_deleting_a|what_its_flags_say.*delete|^scenarios/explore/",
        check="power loss",
        shows=r"power loss (during|after): (deletes the snapshot|the job of|a commit)(.*\n)*"
        r".*is not there, in \d+ crash states; .*when unlink",
        component="libvirt",
        since="9.0.0",
        fixed=None,
        url="",
        sentence="What a deletion, or a commit with DELETE, removes is gone before the definition lets go of it.",
        measured="shows on 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 (deletions) and 12.8.0-1; no reference found:"
        " scenarios/findings/deleted-snapshot-is-removed-before-it-is-let-go.md",
        sometimes=r"(?!)",  # with --power-loss alone
    ),
)


def explanation(findings: Sequence[Finding], bugs: Iterable[KnownBug]) -> tuple[KnownBug, ...] | None:
    """The bugs that explain findings, the first one's first; None unless each finding is explained by one."""
    known = list(bugs)
    explaining = [next((bug for bug in known if bug.explains(finding)), None) for finding in findings]
    return None if None in explaining else tuple(dict.fromkeys(bug for bug in explaining if bug))


def repeated_for(scenario: str, bugs: Iterable[KnownBug] = KNOWN_BUGS) -> list[KnownBug]:
    """Those of the bugs for which the scenario of this id is repeated, on a stack that has them."""
    return [bug for bug in bugs if bug.sometimes and re.search(bug.sometimes, scenario)]


def known_bugs(scenario: str, stack: Stack, table: Iterable[KnownBug] = KNOWN_BUGS) -> list[KnownBug]:
    """The bugs that the scenario of this id meets on this stack, or on the newer one that it is upgraded to."""
    stacks = [stack, *([stack.newer] if stack.newer else [])]
    return [bug for bug in table if re.search(bug.scenario, scenario) and any(map(bug.affects, stacks))]
