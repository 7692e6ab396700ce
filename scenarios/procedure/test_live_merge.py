"""The documented procedure, word for word: merge an entire chain, current active image included, into its base."""

from __future__ import annotations

from harness.layers.table import Table
from harness.stack.events import EventKind
from harness.verdict.trial import Trial
from harness.vm.domain import Domain
from harness.vm.virsh import active_images, job_progress, listed_images

# what the document says that each image contains and shows; the guest has no file of its own
T0 = {
    "base": ("AAAA--------", "AAAA--------"),
    "sn1": ("--BBBB------", "AABBBB------"),
    "sn2": ("-----CCCC---", "AABBBCCCC---"),
    "cur": ("D-------DD--", "DABBBCCCDD--"),
    "guest": ("", "DABBBCCCDD--"),
}
T1 = {
    "base": ("DABBBCCCDD--", "DABBBCCCDD--"),
    "sn1": ("--BBBB------", "DABBBBCCDD--"),
    "sn2": ("-----CCCC---", "DABBBCCCCD--"),
    "cur": ("D-------DD--", "DABBBCCCDD--"),
    "guest": ("", "DABBBCCCDD--"),
}
T2 = {
    "base": ("EABBBCCCDDE-", "EABBBCCCDDE-"),
    "sn1": ("--BBBB------", "EABBBBCCDDE-"),
    "sn2": ("-----CCCC---", "EABBBCCCCDE-"),
    "cur": ("D-------DD--", "DABBBCCCDDE-"),
    "guest": ("", "EABBBCCCDDE-"),
}


def test_the_documented_live_merge_folds_the_whole_chain_into_its_base(trial: Trial, domain: Domain) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   base (live)."""
    disk, guest = domain.disk, domain.guest
    guest.write_marker("A", range(4))

    trial.step("(1) Current active disk image")
    listed = trial.type("virsh domblklist vm1").check()
    assert active_images(listed.stdout) == {"vda": "/export/images/base.qcow2"}

    trial.step("(2) Create external snapshots (and add contents in between)")
    for snapshot, overlay, label, cells in (
        ("snap1", "sn1", "B", (2, 3, 4, 5)),
        ("snap2", "sn2", "C", (5, 6, 7, 8)),
        ("snap3", "cur", "D", (0, 8, 9)),
    ):
        diskspec = f"vda,file=/export/images/{overlay}.qcow2"
        options = f"--diskspec {diskspec} --disk-only --atomic --no-metadata"
        made = trial.type(f"virsh snapshot-create-as --domain vm1 {snapshot} {options}").check()
        assert made.stdout.strip() == f"Domain snapshot {snapshot} created"
        disk.content = disk.content.snapshot(overlay)
        guest.write_marker(label, cells)
    assert drawn(trial.verify("T0: four layers, before the job")) == T0

    trial.step("(3) Enumerate the backing file chain")
    info = trial.type("qemu-img info --force-share --backing-chain /export/images/cur.qcow2").check()
    assert listed_images(info.stdout) == [f"/export/images/{name}.qcow2" for name in ("cur", "sn2", "sn1", "base")]

    trial.step("(4) Check the current active disk image, again")
    listed = trial.type("virsh domblklist vm1").check()
    assert active_images(listed.stdout) == {"vda": "/export/images/cur.qcow2"}

    trial.step("(5) Live active commit of the entire chain, including pivot")
    since = domain.daemon.events.mark()
    with trial.hold("virsh blockcommit vm1 vda --verbose --pivot --active") as held:
        disk.wait_event(EventKind.BLOCK_JOB_2, "ready", since=since)
        disk.content = disk.content.active_commit_ready("base")
        assert drawn(trial.verify("T1: end of phase one, job awake and in sync, not pivoted")) == T1
    merged = held.done.check()
    disk.content = disk.content.pivot()
    assert job_progress(merged.stderr)[-1] == 100
    assert merged.stdout.strip() == "Successfully pivoted"
    trial.verify("Pivoted")

    trial.step("(6) Again, check the current active block device in use")
    listed = trial.type("virsh domblklist vm1").check()
    assert active_images(listed.stdout) == {"vda": "/export/images/base.qcow2"}

    trial.step("(7) Enumerate the backing file chain")
    info = trial.type("qemu-img info --force-share --backing-chain /export/images/base.qcow2").check()
    assert listed_images(info.stdout) == ["/export/images/base.qcow2"]

    trial.step("Break sync: the guest writes E")
    guest.write_marker("E", (0, 10))
    assert drawn(trial.verify("T2: sn1, sn2 and now cur are invalid")) == T2


def drawn(table: Table) -> dict[str, tuple[str, str]]:
    """A table as in the document."""
    return {row.name: (table.drawn(row.contains), table.drawn(row.shows)) for row in table.rows}
