"""The known bugs of libvirt, a row each."""

from __future__ import annotations

from dataclasses import replace

from harness.verdict.known_bug import KnownBug

_NEWS_7_3 = "https://libvirt.org/news.html#v7-3-0-2021-05-03"
_NEWS_9_1 = "https://libvirt.org/news.html#v9-1-0-2023-03-01"
_NEWS_12_0 = "https://libvirt.org/news.html#v12-0-0-2026-01-15"
_NOT_STARTED = KnownBug(
    scenario=r"overlay_of_an_encrypted_image_is_started_by_the_same_daemon.*[\[-]encrypted",
    check="DomainFailed",
    shows=r"Unexpected enum value 0 for virStorageEncryptionEngine",
    component="libvirt",
    since="9.0.0",  # between 7.0, which has it not, and it nobody looked
    fixed=None,
    url="",
    sentence="A VM on an encrypted overlay of a snapshot does not start until libvirtd is started again.",
    measured="shows on 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1, not on 7.0.0-3+deb11u3; no reference found:"
    " scenarios/findings/vm-on-an-encrypted-overlay-does-not-start.md",
)
BUGS: tuple[KnownBug, ...] = (
    KnownBug(
        scenario=r"however_the_disk_is_served.*[\[-]detect_zeroes",
        check="options of block nodes",
        shows=r"the (node \S+|device) of \S+ runs with detect_zeroes (on|unmap)\nit runs with detect_zeroes off",
        component="libvirt",
        since="7.0.0",
        fixed="11.3.0",  # between 9.0 and it nobody looked
        url="",
        sentence="A disk with detect_zeroes loses it with its next snapshot: the overlay is opened without.",
        measured="shows on 7.0.0 and 9.0.0, not on 11.3.0 and 12.8.0; no reference found",
        left_out="detect_zeroes",
    ),
    KnownBug(
        scenario=r"test_abort_after_ready_leaves_the_chain|test_a_(copy|commit)_that_is_given_up|ended_without_waiting|"
        r"test_a_shallow_copy_onto_what_lies_lower_is_given_up|test_a_copy_to_a_server|^scenarios/explore/",
        check="",
        shows=r"the disk's content (at (aborted|given up)|after \w+\(.*\)) is as the oracle says.*\n(.*\n)*"
        r"(base|copy|over|n\d+) +expected",
        acts=r"^(.*\n)*Abort\(",
        component="libvirt",
        since="7.0.0",
        fixed="7.3.0",
        url=_NEWS_7_3,
        sentence="An aborted active commit or copy leaves out the guest's last writes: it is cancelled by force.",
        measured="shows on 7.0.0-3+deb11u4, not on 9.0.0-4+deb12u2",
        # it may be copied by then
        sometimes=r"test_abort_after_ready_leaves_the_chain|test_a_copy_that_is_given_up|"
        r"test_a_shallow_copy_onto_what_lies_lower_is_given_up",
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
        scenario=r"^scenarios/",
        check="end of the chain in the live XML",
        shows=r"",
        component="libvirt",
        since="7.0.0",
        fixed="7.3.0",
        url=_NEWS_7_3,
        sentence="After a full pull the live XML no longer says that the chain ends.",
        measured="shows on 7.0.0-3+deb11u4, not on 9.0.0-4+deb12u2",
        sometimes=r"test_a_full_pull_makes",  # any that does it may meet it: one is enough to repeat
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
        scenario=r"test_a_vm_on_a_chain_of_many_images|test_a_chain_of_more_than_200_images.*[\[-]200",
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
        acts=r"^(.*\n)*BeginBackup\((.*\n)*Reset\(",
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
        acts=r"^(.*\n)*(Snapshot|DeleteSnapshot|Copy|BeginBackup|EndBackup)\(.*\nKillDaemon\(",
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
        shows=r"BeginBackup\(.*has happened or has not\nneither(.*\n)*seen .*backup job data missing",
        component="libvirt",
        since="9.0.0",  # 7.0 has no backups
        fixed=None,
        url="",
        sentence="A libvirtd that dies at the start of a backup leaves a job of the domain that has no data.",
        measured="shows on 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found:"
        " scenarios/findings/libvirtd-killed-at-the-start-of-a-backup-leaves-a-job-without-data.md",
        acts=r"^(.*\n)*BeginBackup\(.*\nKillDaemon\(",
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
        scenario=r"^scenarios/explore/",
        check="left of a VM",
        shows=r"var/lib/qemu/domain-\d+-vm1/master-key.aes",
        component="libvirt",
        since="7.0.0",
        fixed="11.3.0",  # between 9.0 and it nobody looked
        url="",
        sentence="A libvirtd that dies while it ends a VM leaves the VM's directory, with its master key.",
        measured="shows on 7.0.0-3+deb11u3 and 9.0.0-4+deb12u2 (where earlier runs did not show it), not on"
        " 11.3.0-3+deb13u3 and 12.8.0-1; no reference found",
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
        scenario=r"^scenarios/",
        check="exports and bitmaps",
        shows=r"of (base|two|copy|data|n\d) has no bitmap\n.*libvirt-tmp-activewrite",
        component="libvirt",
        since="11.3.0",
        fixed=None,
        url="",
        sentence="An active commit into, or a copy to, a raw image leaves libvirt's bitmap of the last writes on it.",
        measured="shows on 11.3.0-3+deb13u3 and 12.8.0-1, not on 7.0.0-3+deb11u4 and 9.0.0-4+deb12u2; no"
        " reference found: scenarios/findings/raw-base-keeps-bitmap-of-active-commit.md",
        sometimes=r"test_an_active_commit_into_a_raw_base",  # any that does it may meet it: one is enough to repeat
    ),
    KnownBug(
        scenario=r"test_a_raw_base_is_merged_into|lives_on_a_server.*committed",
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
        scenario=r"^scenarios/",
        check="daemon unharmed",
        shows=r"^the daemon logs no error\n(.*'nbd-server-stop': NBD server not running\n?)+$",
        component="libvirt",
        since="9.0.0",
        fixed="12.8.0",  # between 11.3 and it nobody looked
        url="",
        sentence="At the end of a backup of several disks in pull mode, QEMU's NBD server is stopped once for each.",
        measured="shows on 9.0.0-4+deb12u2 and 11.3.0-3+deb13u3, not on 12.8.0-1; no reference found",
        sometimes=r"test_a_client_reads_what_was_written_since",  # any that does it may meet it
    ),
    KnownBug(
        scenario=r"forgotten_and_defined_again.*validated",
        check="libvirtError",
        shows=r"failed to validate against schema: .*domainsnapshot\.rng\nElement domainsnapshot has extra content",
        component="libvirt",
        since="7.0.0",
        fixed="9.0.0",  # between them nobody looked
        url="",
        sentence="libvirt's own XML of a snapshot is not valid by its own schema: it has an inactiveDomain.",
        measured="shows on 7.0.0-3+deb11u3, not on 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found",
    ),
    KnownBug(
        scenario=r"lives_on_a_server.*committed",
        check="daemon unharmed",
        shows=r"^the daemon logs no error\n(.*'transaction': Bitmap already exists: libvirt-tmp-activewrite\n?)+$",
        component="libvirt",
        since="7.0.0",
        fixed="9.0.0",  # between them nobody looked
        url="",
        sentence="An active commit trips over the bitmap that a copy has left on its base.",
        measured="shows on 7.0.0-3+deb11u3, not on 9.0.0-4+deb12u2 (since 11.3.0 there is another one); no reference"
        " found",
    ),
    KnownBug(
        scenario=r"^scenarios/",
        check="exports and bitmaps",
        shows=r"of (copy|two|n\d) has no bitmap\n.*libvirt-tmp-activewrite",
        component="libvirt",
        since="7.0.0",
        fixed="9.0.0",  # between them nobody looked
        url="",
        sentence="A copy that is pivoted keeps libvirt's bitmap of the last writes, which goes on recording.",
        measured="shows on 7.0.0-3+deb11u4, not on 9.0.0-4+deb12u2 and 11.3.0-3+deb13u3; no reference found",
        sometimes=r"test_a_raw_disk_is_copied",  # any that does it may meet it: one is enough to repeat
    ),
    KnownBug(
        scenario=r"test_deleting_a|what_its_flags_say.*delete|^scenarios/explore/",
        check="power loss",
        shows=r"power loss (during|after): (deletes the snapshot|the job of|a commit)(.*\n)*"
        r".*is not there, in \d+ crash states; .*when unlink",
        component="libvirt",
        since="7.0.0",
        fixed=None,
        url="",
        sentence="What a deletion, or a commit with DELETE, removes is gone before the definition lets go of it.",
        measured="shows on 7.0.0-3+deb11u3 (a commit, of a VM that was undefined), 9.0.0-4+deb12u2,"
        " 11.3.0-3+deb13u3 (deletions) and 12.8.0-1; no reference found:"
        " scenarios/findings/deleted-snapshot-is-removed-before-it-is-let-go.md",
        sometimes=r"(?!)",  # with --power-loss alone
    ),
    KnownBug(
        scenario=r"test_a_snapshot_of_a_transient_vm_outlives_its_definition",
        check="snapshots",
        shows=r"libvirt has records of the snapshots .*\nit has .*; in files: none",
        component="libvirt",
        since="7.0.0",
        fixed=None,
        url="",
        sentence="A definition for a VM that runs without one removes the records of its snapshots.",
        measured="shows on 7.0.0-3+deb11u3, 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found:"
        " scenarios/findings/definition-of-a-transient-vm-removes-its-snapshots.md",
        acts=r"^(.*\n)*Undefine\((.*\n)*Snapshot\(",
    ),
    KnownBug(
        scenario=r"test_a_shallow_copy_onto_what_lies_lower_is_given_up",
        check="daemon unharmed",
        shows=r"^the daemon logs no error\n(.*'blockdev-del': Cannot find node libvirt-\d+-(format|storage)\n?)+$",
        component="libvirt",
        since="7.0.0",
        fixed="9.0.0",  # between them nobody looked
        url="",
        sentence="A shallow copy to an image that is there is given up, and libvirt removes nodes that there are not.",
        measured="shows on 7.0.0-3+deb11u3, not on 9.0.0-4+deb12u2; no reference found",
        acts=r"^(.*\n)*Copy\(.*shallow=True.*reuse=True",
    ),
    KnownBug(
        scenario=r"test_a_vm_that_was_undefined_stays_so\[(?!.*(nothing|resize))|^scenarios/explore/",
        check="definition on disk|libvirtError",
        shows=r"is transient, and has no definition\nlibvirt says that it has( none)?; vm1.xml is there|"
        r"domain is not transient",
        component="libvirt",
        since="7.0.0",
        fixed=None,
        url="",
        sentence="A snapshot, or the end of a block job, defines a running VM again that was undefined.",
        measured="shows on 7.0.0-3+deb11u3, 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found:"
        " scenarios/findings/undefined-vm-is-defined-again-by-a-snapshot-or-job.md",
        acts=r"^(.*\n)*Undefine\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="",
        shows=r"(Save|InternalSnapshot)\(.*\) has happened or has not\n(.*\n)*seen .*'vm1': 'paused'|"
        r"vm1 goes on\nthe VM is paused: lifecycle vm1 suspended detail 0",
        component="libvirt",
        since="7.0.0",
        fixed=None,
        url="",
        sentence="After a libvirtd that ended in a save, or in an internal snapshot, the VM stays paused.",
        measured="shows on 7.0.0, 9.0.0, 11.3.0 and 12.8.0; no reference found:"
        " scenarios/findings/libvirtd-killed-in-a-save-leaves-the-vm-paused.md",
        acts=r"^(.*\n)*(Save|InternalSnapshot)\(.*\nKillDaemon\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="|content|pauses|snapshots",
        shows=r"@one (should not be there|was not measured|cannot be read)|"
        r"vm1 was never suspended\nit tells: suspended|it has one; in files: one\.xml",
        component="libvirt",
        since="7.0.0",
        fixed=None,
        url="",
        sentence="A libvirtd that ends in an internal snapshot, or its deletion, leaves it in images or on record.",
        measured="shows on 9.0.0-4+deb12u2; the others were not looked at; no reference found",
        acts=r"^(.*\n)*InternalSnapshot\(.*\n(DeleteSnapshot\(.*\n)?KillDaemon\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="chain in QEMU|block nodes",
        shows=r"it has .*/export/images/(top|data)\.qcow2",
        component="libvirt",
        since="9.0.0",  # with 7.0.0 disks are not plugged in here
        fixed=None,
        url="",
        sentence="A libvirtd that ends in the attachment of a disk leaves its images open in QEMU.",
        measured="shows on 9.0.0, 11.3.0 and 12.8.0; no reference found:"
        " scenarios/findings/libvirtd-killed-in-an-attachment-leaves-half-of-it.md",
        acts=r"^(.*\n)*Attach\(.*\nKillDaemon\(",
    ),
    KnownBug(
        scenario=r"^scenarios/explore/",
        check="disks|chain in the persistent definition",
        shows=r"its definition has vda|the domain has no disk vdb",
        component="libvirt",
        since="9.0.0",  # with 7.0.0 disks are not plugged in here
        fixed=None,
        url="",
        sentence="A libvirtd that ends while it plugs a disk in or out has done it live, and not in the definition.",
        measured="shows on 9.0.0, 11.3.0 and 12.8.0; no reference found:"
        " scenarios/findings/libvirtd-killed-in-an-attachment-leaves-half-of-it.md",
        acts=r"^(.*\n)*(Attach|Detach)\(.*\nKillDaemon\(",
    ),
    KnownBug(
        scenario=r"test_a_job_changes_no_instant_that_the_active_layer_keeps",
        check="",
        shows=r"cur should have sn1 as backing file, has (none|base)",
        component="libvirt",
        since="7.0.0",
        fixed=None,
        url="",
        sentence="A pull, or a commit below, takes from snapshots inside the active image what they stand on.",
        measured="shows on 7.0.0-3+deb11u3 (the guest reads zeros), 9.0.0-4+deb12u2, 11.3.0-3+deb13u3, 12.8.0-1 (the "
        "header names another backing file than QEMU has open); no reference found:"
        " scenarios/findings/pull-takes-from-internal-snapshots-what-they-stand-on.md",
    ),
    KnownBug(
        scenario=r"test_a_vm_with_a_checkpoint_runs_on_when_it_cannot_go_back",
        check="",
        shows=r"vm1 runs until it is shut off",
        component="libvirt",
        since="9.0.0",  # before, there are no checkpoints of VMs that run
        fixed=None,
        url="",
        sentence="A revert to an internal snapshot that QEMU refuses, because of a checkpoint, ends the VM.",
        measured="shows on 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1; no reference found:"
        " scenarios/findings/revert-that-qemu-refuses-ends-the-vm.md",
    ),
    KnownBug(
        scenario=r"test_a_snapshot_aside_is_deleted_without_what_is_below",
        check="files",
        shows=r"the files are base.qcow2\nthey are base.qcow2, cur.qcow2\n$",
        component="libvirt",
        since="11.3.0",
        fixed=None,
        url="https://gitlab.com/libvirt/libvirt/-/issues/734",
        sentence="An external snapshot that is deleted after a revert to an internal one leaves its overlay behind.",
        measured="shows on 11.3.0-3+deb13u3 and 12.8.0-1; before 11.0, says upstream, the image below was removed",
    ),
    KnownBug(
        scenario=r"test_what_is_inside_a_lower_layer_is_not_deleted_half",
        check="",
        shows=r"DeleteSnapshot\(name='s1'\) is refused with .*\nit is done",
        component="libvirt",
        since="7.0.0",
        fixed="9.0.0",  # between them nobody looked
        url="",
        sentence="An internal snapshot below an overlay is forgotten, and stays in its image.",
        measured="shows on 7.0.0-3+deb11u3, not on 9.0.0-4+deb12u2; no reference found",
    ),
    KnownBug(
        scenario=r"test_a_snapshot_is_of_the_disk_that_is_named.*the (first|second) says none",
        check="AssertionError",
        shows=r"assert \['vd[ab]'\] == \['vd[ab]'\]",
        component="libvirt",
        since="9.0.0",  # between 7.0, which has it not, and it nobody looked
        fixed=None,
        url="",
        sentence="A snapshot is made of another disk than is named, if disks are not in order, and one says no bus.",
        measured="shows on 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1, not on 7.0.0-3+deb11u3; no reference found:"
        " scenarios/findings/snapshot-is-made-of-another-disk.md",
    ),
    _NOT_STARTED,
    replace(  # where each scenario is started again (--start-again), or walks do so
        _NOT_STARTED,
        scenario=r"encrypted|^scenarios/explore/",
        check="DomainFailed|libvirtError|daemon unharmed",
        sometimes=r"(?!)",
    ),
    KnownBug(
        scenario=r"a_chain_of_encrypted_images_starts_again.*[\[-]encrypted",
        check="definition on disk",
        shows=r'says what libvirt answers: <encryption engine="qemu"',
        component="libvirt",
        since="9.0.0",
        fixed=None,
        url="",
        sentence="The file with the definition of a VM on an encrypted overlay names no engine, which libvirt does.",
        measured="shows on 9.0.0-4+deb12u2, 11.3.0-3+deb13u3 and 12.8.0-1, not on 7.0.0-3+deb11u3; no reference found:"
        " scenarios/findings/vm-on-an-encrypted-overlay-does-not-start.md",
    ),
    KnownBug(
        scenario=r"a_chain_of_encrypted_images_keeps.*[\[-]encrypted raw copy",
        check="BlockJobFailed",
        shows=r"Source and target image have different sizes",
        component="libvirt",
        since="11.3.0",  # between 9.0, which has it not, and it nobody looked
        fixed=None,
        url="",
        sentence="A copy to an encrypted raw image fails: QEMU is told to write past the encryption, into the file.",
        measured="shows on 11.3.0-3+deb13u3 and 12.8.0-1, not on 9.0.0-4+deb12u2; no reference found:"
        " scenarios/findings/copy-to-an-encrypted-raw-image-goes-past-the-encryption.md",
    ),
    KnownBug(
        scenario=r"an_encrypted_image_that_is_too_small_is_not_written_to",
        check="AssertionError",
        shows=r"it is done: ",
        component="libvirt",
        since="11.3.0",
        fixed=None,
        url="",
        sentence="A copy to an encrypted raw image whose file is as large as the disk is written in the clear.",
        measured="shows on 11.3.0-3+deb13u3 and 12.8.0-1, not on 9.0.0-4+deb12u2; no reference found:"
        " scenarios/findings/copy-to-an-encrypted-raw-image-goes-past-the-encryption.md",
    ),
    KnownBug(
        scenario=r"a_chain_of_encrypted_images_keeps.*-(qcow2-(plain|blue)|luks-blue)\]|"
        r"a_chain_of_encrypted_images_starts.*-qcow2\]|overlay_of_an_encrypted_image_is_started|"
        r"does_not_start_without_its_secret",
        check="",
        shows=r"should say that its backing file is qcow2, says luks",
        component="libvirt",
        since="7.0.0",
        fixed="9.0.0",  # between 7.0 and it nobody looked
        url="",
        sentence="The header of an overlay of an encrypted qcow2 image says that its backing file is of format luks.",
        measured="shows on 7.0.0-3+deb11u3, not on 9.0.0-4+deb12u2; no reference found",
    ),
)
