"""Clients of backups in pull mode as they are: one that takes its time, two at once, programs of others."""

from __future__ import annotations

import pytest

from harness.acts.backup import BeginBackup, ClientBackup, EndBackup
from harness.acts.chain import ActiveCommit, AwaitReady, Pivot
from harness.acts.guest import Discard, Write, Zero
from harness.acts.images import LeaveFile
from harness.acts.power import Resume, Suspend
from harness.acts.snapshot import Snapshot
from harness.errors import ImageError
from harness.trial.trial import Trial

pytestmark = pytest.mark.needs("backup")


def test_a_client_that_takes_its_time_reads_the_instant(trial: Trial) -> None:
    """base <- sn1 (live)   stays that, while the guest writes, discards and is paused between its reads."""
    trial.create_base()
    vm = trial.define().bring_up()
    vda = vm.disk()
    vda.write("A", (0, 1, 2, 3, 4))
    vda.snapshot("sn1")
    vda.write("B", (2, 5))

    with vm.pull_backup():
        with trial.slow_client("read in pieces", vda) as read:
            read((0, 5))
            trial.do(Write("vda", "C", (0, 1, 6)), Discard("vda", (2,)), Zero("vda", (3,)))
            read((1, 2, 3))
            trial.do(Write("vda", "D", (1, 4)), Suspend(), Resume())
            read((4, 6, 7, 8))
            trial.do(Write("vda", "E", (9, 10), flush=False))
            read((9, 10, 11))
        trial.verify_backup("another client, afterwards")

    trial.verify("the backup is ended")


def test_two_clients_of_two_disks_at_once_read_one_instant(trial: Trial) -> None:
    """vda: base, vdb: data <- d1 (live)   stay that, or are merged: both clients read the one instant."""
    trial.create_base()
    trial.create_base(disk="vdb", name="data")
    vm = trial.define().bring_up()
    vm.grow([("data", "A", (0, 1)), ("d1", "B", (1, 2))], "vdb")
    vm.disk("vda").write("A", (0, 1))

    with vm.pull_backup():
        one, other = (trial.slow_client(f"of {target}", vm.disk(target)) for target in ("vda", "vdb"))
        with one as read_vda, other as read_vdb:
            read_vda(range(6))
            read_vdb(range(6, 12))
            trial.do(Write("vda", "C", (0, 8)), Write("vdb", "C", (1, 8)))
            read_vdb(range(6))
            read_vda(range(6, 12))
    trial.do(ActiveCommit("vdb", "data"), AwaitReady("vdb"), Pivot("vdb"))

    trial.verify("merged after the backup")


@pytest.mark.program("openssl")
@pytest.mark.needs("tls-on-a-socket")
def test_those_alone_who_encrypt_read_the_instant(trial: Trial) -> None:
    """base <- sn1 (live), served with TLS   stays that: one who encrypts reads it, others nothing."""
    trial.certify()
    trial.create_base()
    vm = trial.define().bring_up()
    vm.grow([("base", "A", (0, 1, 2)), ("sn1", "B", (1, 5))])
    vm.checkpoint("ck1")
    trial.do(Write("vda", "C", (2,)), BeginBackup(since="ck1", tls=True), Write("vda", "D", (0, 2)))
    trial.verify_backup("by one who encrypts")
    with pytest.raises(ImageError, match="TLS"), trial.slow_client("by one who does not", vm.disk()) as read:
        read((0,))
    trial.do(EndBackup())

    trial.verify("the backup is ended")


def test_a_client_reads_the_instant_by_way_of_a_port(trial: Trial) -> None:
    """base <- sn1 (live), served on TCP   stays that: qemu-img copies what it was."""
    trial.create_base()
    vm = trial.define().bring_up()
    vm.grow([("base", "A", (0, 1, 2)), ("sn1", "B", (1, 5))])
    instant = vm.disk().read()
    trial.do(BeginBackup(port=10809), Write("vda", "C", (0, 7)))
    copied = "/export/images/full.qcow2"
    trial.do(LeaveFile(("qemu-img", "convert", "-O", "qcow2", "nbd://127.0.0.1:10809/vda", copied), copied))
    trial.do(EndBackup())

    trial.verify("the backup is ended")
    assert trial.shown(copied) == instant


_OF_LIBVIRT = ("-n", "--user", "nobody", "--password", "none", "-U", "{uri}")  # which asks nobody who they are
_BACKUP = ("virtnbdbackup", *_OF_LIBVIRT, "-d", "vm1", "-S", "/export/images", "-f", "/export/client.nbd")
_RESTORE = ("virtnbdrestore", *_OF_LIBVIRT[1:], "-i", "/export/images/kept")


@pytest.mark.program("virtnbdbackup")
def test_virtnbdbackup_restores_the_disk_of_each_instant(trial: Trial) -> None:
    """vda: base <- sn1, vdb: data (live), backed up whole and twice incrementally, are restored as of each backup."""
    trial.create_base()
    trial.create_base(disk="vdb", name="data")
    vm = trial.define().bring_up()
    trial.do(Write("vda", "A", (0, 1, 2)), Write("vdb", "A", (3,)))
    instants = []
    for number, acts in enumerate(
        (
            (),
            (Write("vda", "B", (1,), ((5 * 65536 + 4096, 4096),)), Discard("vda", (0,)), Zero("vdb", (3,))),
            (Snapshot("vda", "sn1"), Write("vda", "C", (2, 7)), Write("vdb", "C", (3, 11), flush=False)),
        )
    ):
        trial.do(*acts)
        trial.verify(f"before backup {number}")
        instants.append({disk.target: disk.read() for disk in vm.disks})
        level, since = ("inc", f"virtnbdbackup.{number - 1}") if number else ("full", "")
        command = trial.filled((*_BACKUP, "-l", level, "-o", "/export/images/kept"))
        trial.do(ClientBackup(command, "/export/images/kept", since, f"virtnbdbackup.{number}"))
        trial.do(Write("vda", f"X{number}", (9,)))

    trial.verify("backed up")
    for number, instant in enumerate(instants):
        into = f"/export/images/restored{number}"
        until = ("--until", f"virtnbdbackup.{number}")
        trial.do(LeaveFile(trial.filled((*_RESTORE, *until, "-o", into)), into))
        for target, image in (("vda", "sn1"), ("vdb", "data")):  # it names them as the VM's images were at last
            assert trial.shown(f"{into}/{image}.qcow2") == instant[target], (number, target)
