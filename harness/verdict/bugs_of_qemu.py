"""The known bugs of QEMU, a row each."""

from __future__ import annotations

from harness.verdict.known_bug import KnownBug

BUGS: tuple[KnownBug, ...] = (
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
        scenario=r"test_abort_after_ready_leaves_the_chain|test_a_commit_that_is_given_up(?!_while)|follows_its_overlay|"
        r"ended_without_waiting.*[\[-]active commit|bitmaps_say_what_was_written.*aborted commit|"
        r"test_a_backup_(and_a_job|is_written_while).*active commit, aborted|"
        r"a_chain_of_encrypted_images_keeps.*[\[-]active commit, aborted",
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
        scenario=r"test_a_job_that_virsh_gives_up.*[\[-]active commit",
        check="options of block nodes",
        shows=r"the node \S+ of base runs with ro True\nit runs with ro False",
        component="QEMU",
        since="5.2.0",
        fixed="10.0.13",  # between 7.2 and it nobody looked
        url="",
        sentence="An active commit that is cancelled before READY leaves its base open for writing.",
        measured="shows on 1:5.2+dfsg-11+deb11u3 and 1:7.2+dfsg-7+deb12u18+b3, not on 1:10.0.13+ds-0+deb13u1 and"
        " 1:11.1.3+ds-1; no reference found",
    ),
    KnownBug(
        scenario=r"test_what_was_pulled_outlives_a_killed_qemu",
        check="",
        shows=r"the disk's content (at killed|at the end|after KillQemu\(\)) is as the oracle says.*\n(.*\n)*"
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
        scenario=r"test_what_was_committed_outlives_a_killed_qemu.*given up",
        check=r"|content",
        shows=r"the disk's content (at killed|at the end|after \w+\(.*\)) is as the oracle says.*\n(.*\n)*"
        r".*base contains: ",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="After an active commit that was cancelled, what a commit copies into the same base is not flushed.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18+b3, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1;"
        " no reference found: scenarios/findings/commit-after-a-cancelled-one-is-lost.md",
        acts=r"^(.*\n)*ActiveCommit\((.*\n)*Abort\((.*\n)*Commit\(",
    ),
    KnownBug(
        scenario=r"whose_storage_fails_can_be_done_again\S*\bcommit-(write|no room)-base",
        check=r"|content",
        shows=r"the disk's content (at done again|at the end) is as the oracle says.*\n(.*\n)*.*base contains: ",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="After a commit whose writes to its base failed, what the next one copies there is not flushed.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18+b3, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1;"
        " no reference found: scenarios/findings/commit-after-a-cancelled-one-is-lost.md",
        acts=r"^(.*\n)*BreakStorage\((.*\n)*AwaitFailed\((.*\n)*Commit\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="WaitTimeout",
        shows=r"waited \d+ s for the guest's disk server to answer: (write|flush) ",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="A write to one disk hangs as long as the storage of another one, or of a job's target, does.",
        measured="shows on 1:7.2+dfsg-7+deb12u18+b3, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1, in some"
        " tries, and on 1:5.2+dfsg-11+deb11u3 by another way; no reference found:"
        " scenarios/findings/disk-hangs-while-the-storage-of-another-does.md",
        sometimes=r"(?!)",
        acts=r"^(.*\n)*BreakStorage\(.*error='stall'",
    ),
    KnownBug(
        scenario=r"test_a_deletion_whose_storage_fails_can_be_done_later",
        check=r"|content",
        shows=r"the disk's content (at deleted|at the end) is as the oracle says.*\n(.*\n)*.*cur contains: ",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="A snapshot whose deletion failed is deleted later, and what was committed for it is not flushed.",
        measured="shows on 1:7.2+dfsg-7+deb12u18+b3, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1; no reference found:"
        " scenarios/findings/commit-after-a-cancelled-one-is-lost.md",
        acts=r"^(.*\n)*BreakStorage\((.*\n)*DeleteSnapshot\(",
    ),
    KnownBug(
        scenario=r"test_an_error_that_is_over_is_told_no_more",
        check="AssertionError",
        shows=r"\{'vda': 2\} == \{\}",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="An I/O error that is over, of a VM that was resumed, is told as long as QEMU runs (domblkerror).",
        measured="shows on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18+b3, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1;"
        " no reference found: QEMU resets the io-status of named backends alone when it goes on",
    ),
    KnownBug(
        scenario=r"test_the_event_of_an_error_names_the_disk_and_its_image\S*during a copy",
        check="AssertionError",
        shows=r"' ' == 'virtio-disk",
        component="QEMU",
        since="5.2.0",
        fixed="10.0.0",  # 10.0.13 names them; between them nobody looked
        url="",
        sentence="The event of an I/O error names neither the disk nor its image while a mirror is on.",
        measured="shows on 1:5.2+dfsg-11+deb11u3 and 1:7.2+dfsg-7+deb12u18+b3, not on 1:10.0.13+ds-0+deb13u1 and"
        " 1:11.1.3+ds-1; no reference found",
    ),
    KnownBug(
        scenario=r"cannot_write_what_it_has_to_in_the_end\S*\bcommit, (flush|tables) of the base",
        check="BlockJobFailed",
        shows=r"the commit of vda: waited for failed, but it completed",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="A commit completes though its base can neither be flushed nor have its tables written.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18+b3, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1;"
        " no reference found: scenarios/findings/commit-completes-though-its-base-cannot-be-flushed.md",
    ),
    KnownBug(
        scenario=r"cannot_write_what_it_has_to_in_the_end\S*\bpull, (flush|tables)",
        check="BlockJobFailed",
        shows=r"the pull of vda: waited for failed, but it completed",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="A pull completes, and lets go of the backing file, though what it has copied cannot be flushed.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18+b3, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1;"
        " no reference found: scenarios/findings/pull-completes-though-it-cannot-be-flushed.md",
    ),
    KnownBug(
        scenario=r"cannot_write_what_it_has_to_in_the_end\S*\bcommit, header",
        check=r"|BlockJobFailed",
        shows=r"waited for failed, but vm1 has ended|QEMU has ended by itself: it was ended by SIGSEGV",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="QEMU crashes at the end of a commit if the header of the image above cannot be written.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18+b3, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1;"
        " no reference found: scenarios/findings/commit-crashes-where-the-header-above-cannot-be-written.md",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="inside images|exports and bitmaps",
        shows=r" has the bitmap \w+\nit is marked as in use|the bitmap \w+ of \w+ is there\nit is inconsistent",
        component="QEMU",
        since="7.2.0",  # older ones have no checkpoints here
        fixed=None,
        url="",
        sentence="After an active commit that was cancelled, the bitmaps in its base are lost when QEMU dies.",
        measured="shows on 1:7.2+dfsg-7+deb12u18+b3, in a walk; no reference found:"
        " scenarios/findings/active-commit-cancelled-leaves-base-writable.md",
        acts=r"^(.*\n)*ActiveCommit\((.*\n)*Abort\((.*\n)*KillQemu\(",
        sometimes=r"(?!)",
    ),
    KnownBug(
        scenario=r"can_be_read_after_a_kill\[(.*-)?compressed|^scenarios/explore/",
        check="",
        shows=r"the disk's content (at killed|after KillQemu\(\)) is as the oracle says.*\n(.*\n)*"
        r".*compressed cluster .* cannot be decompressed",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="A compressed cluster that was discarded cannot be read after a kill: its data is gone at once.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18+b3, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1;"
        " no reference found: scenarios/findings/discarded-compressed-cluster-is-unreadable-after-a-kill.md",
        acts=r"^(.*\n)*CompressImage\((.*\n)*Discard\((.*\n)*KillQemu\(",
    ),
    KnownBug(
        scenario=r"^scenarios/",  # the same, with --power-loss
        check="power loss",
        shows=r"compressed cluster .* cannot be decompressed(.*\n)*"
        r"(.*when discard \d+ bytes at .* has begun|unflushed calls that survive: .*discard \d+ bytes at)",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="A compressed cluster that was discarded cannot be read after a power loss: its data is gone at once.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18+b3, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1;"
        " no reference found: scenarios/findings/discarded-compressed-cluster-is-unreadable-after-a-kill.md",
        acts=r"^(.*\n)*CompressImage\((.*\n)*Discard\(",
        sometimes=r"(?!)",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="",
        shows=r"hung(:|, in) blockResize of vm1|waited \d+ s for blockResize of vm1",
        component="QEMU",
        since="5.2.0",
        fixed="7.2.0",  # between them nobody looked
        url="",
        sentence="A disk with an iothread is resized on its second overlay, and QEMU hangs.",
        measured="shows on 1:5.2+dfsg-11+deb11u3 in programs of the explorer, not on 1:7.2+dfsg-7+deb12u18+b3 and"
        " later; no reference found",
        acts=r"^(.*\n)*Resize\(",
        sometimes=r"(?!)",
        left_out="iothread",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="",
        shows=r"hung: the save of vm1|waited \d+ s for the save of vm1|vm1 was not saved: QEMU was ended by SIGABRT",
        component="QEMU",
        since="5.2.0",
        fixed="7.2.0",  # between them nobody looked
        url="",
        sentence="Images with lazy refcounts, resized and killed before: a save aborts QEMU (child->perm & WRITE).",
        measured="shows on 1:5.2+dfsg-11+deb11u3, where libvirt 7.0.0 then waits forever, in one program; not on"
        " 1:7.2+dfsg-7+deb12u18+b3 and later; no reference found",
        sometimes=r"(?!)",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="",
        shows=r"QEMU has ended by itself: it was ended by SIGABRT\n(.*\n)*.*qemu_mutex_unlock_impl: Operation not",
        component="QEMU",
        since="5.2.0",
        fixed="7.2.0",  # between them nobody looked
        url="",
        sentence="A disk with an iothread has jobs while its VM is paused and resumed, and QEMU aborts.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, once in 194 programs; not on 1:7.2+dfsg-7+deb12u18+b3 and later, in"
        " 286; no reference found",
        sometimes=r"(?!)",
    ),
    KnownBug(
        scenario=r"test_a_vm_that_is_paused_while_a_job_is_held_back",
        check="",
        shows=r"QEMU (has ended by itself: it )?was ended by (SIGABRT|SIGSEGV)",
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
        scenario=r"paused_during_a_backup.*[\[-]iothread, throttled|^scenarios/explore/",
        check=r"|WaitTimeout",
        shows=r"hung(:|, in) (suspend|the reset) of vm1|waited \d+ s for (suspend|the reset) of vm1|"
        r"QEMU (has ended by itself: it )?was ended by SIGABRT(.*\n)*.*qemu_mutex_unlock_impl",
        component="QEMU",
        since="7.2.22",  # older ones have no backup here, or nobody looked
        fixed="10.0.13",  # between them nobody looked
        url="",
        sentence="A VM that is paused, or reset, in a backup of a throttled disk on an iothread hangs, or QEMU aborts.",
        measured="shows on 1:7.2+dfsg-7+deb12u18+b3, not on 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1; no reference"
        " found: scenarios/findings/pause-during-a-backup-of-a-throttled-disk-hangs.md",
        acts=r"^(.*\n)*(Throttle\((.*\n)*BeginBackup|BeginBackup(.*\n)*Throttle\()(.*\n)*(Suspend|Reset)\(",
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
        scenario=r"^scenarios/explore/|paused_while.*[\[-]pull",
        check="holes|allocation",
        shows=r"holds nothing where nothing was written|takes \d+ bytes at most: its data and metadata",
        component="QEMU",
        since="5.2.0",
        fixed="7.2.0",  # between them nobody looked
        url="",
        sentence="While a whole pull is on, what the guest reads where nothing was written is copied up as zeros.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, not on 1:7.2+dfsg-7+deb12u18+b3; no reference found",
        acts=r"^(.*\n)*Pull\(",
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
        scenario=r"a_pull_keeps.*subclusters(?! of 64)|^scenarios/explore/",
        check="",
        shows=r"QEMU has ended by itself: it was ended by SIGABRT\n(.*\n)*"
        r".*bdrv_co_do_copy_on_readv: Assertion `skip_bytes < pnum' failed|QEMU was ended by SIGABRT; so far:.*pull",
        component="QEMU",
        since="5.2.0",
        fixed="10.0.13",  # upstream: 8.2; between 7.2 and it nobody looked
        url="https://lore.kernel.org/qemu-devel/20230711172553.234055-1-andrey.drobyshev@virtuozzo.com/",
        sentence="A pull into an image with subclusters, one of which is written already, ends the VM.",
        measured="shows on 1:5.2+dfsg-11+deb11u3 and 1:7.2+dfsg-7+deb12u18+b3, not on 1:10.0.13+ds-0+deb13u1",
        acts=r"^(.*\n)*Pull\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="QEMU's log",
        shows=r"Cannot change iothread of active block backend",
        component="QEMU",
        since="7.2.0",  # before, nobody looked
        fixed=None,
        url="",
        sentence="A commit that begins while a VM is paused keeps the disk off its iothread when the VM goes on.",
        measured="shows on 1:7.2+dfsg-7+deb12u18+b3, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1; no reference found:"
        " scenarios/findings/commit-begun-while-paused-keeps-a-disk-off-its-iothread.md",
        acts=r"^(.*\n)*Suspend\((.*\n)*Commit\(",
    ),
    KnownBug(
        scenario=r"test_it_is_gone_back_to_whatever_came_later.*[\[-]reset",
        check="DomainFailed",
        shows=r"waited \d+ s for the guest agent to connect",
        component="QEMU",
        since="5.2.0",
        fixed="7.2.0",  # with libvirt 9.0, which starts another QEMU; between them nobody looked
        url="",
        sentence="After a reset, a guest that is loaded from a snapshot in the same QEMU opens no port any more.",
        measured="shows on 1:5.2+dfsg-11+deb11u3 with libvirt 7.0.0; no reference found",
    ),
    KnownBug(
        scenario=r"^scenarios/",  # with --power-loss
        check="power loss",
        shows=r"^after a power loss during: goes back to the snapshot .*\n.* is corrupt: \d+ clusters, first: "
        r"the cluster at byte \d+ has refcount \d+, and an entry says that it is 1",
        component="QEMU",
        since="5.2.0",
        fixed=None,
        url="",
        sentence="A revert to a snapshot inside an image that is cut off leaves one whose next write changes it.",
        measured="shows on 1:5.2+dfsg-11+deb11u3, 1:7.2+dfsg-7+deb12u18+b3, 1:10.0.13+ds-0+deb13u1 and 1:11.1.3+ds-1;"
        " no reference found: scenarios/findings/revert-that-is-cut-off-changes-the-snapshot-later.md",
        acts=r"^(.*\n)*RevertToSnapshot\(",
        sometimes=r"(?!)",
    ),
)
