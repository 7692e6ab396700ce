"""Images that are encrypted (LUKS): libvirt has the secrets, and what it makes and folds keeps every byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pytest

from harness.acts.act import Act
from harness.acts.backup import AwaitBackup, BeginBackup, EndBackup
from harness.acts.chain import Abort, ActiveCommit, AwaitCompleted, AwaitReady, Commit, Copy, Pivot, Pull, Resize
from harness.acts.checkpoint import CreateCheckpoint
from harness.acts.device import Attach, Detach
from harness.acts.faults import StartDaemon, StopDaemon
from harness.acts.guest import Discard, Write, Zero
from harness.acts.images import DefineSecret, LeaveFile
from harness.acts.power import ShutOff, Start
from harness.acts.saving import Restore, Save
from harness.acts.snapshot import InternalSnapshot, Snapshot
from harness.oracle.geometry import Geometry
from harness.oracle.image import LUKS_HEADER, File, Format, Image, Qcow2, Raw
from harness.oracle.secret import uuid_of
from harness.oracle.state import DIRECTORY
from harness.storage.elements import backup_target, copy_disk
from harness.storage.stores import file_name
from harness.storage.tool import create
from harness.trial.trial import Trial

pytestmark = [pytest.mark.encrypted]
RED, BLUE = Qcow2(secret="red"), Qcow2(secret="blue")
JOBS: Mapping[str, Sequence[Act]] = {
    "active commit": (ActiveCommit("vda", "base"), AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
    "active commit, shallow": (ActiveCommit("vda", "sn1", shallow=True), AwaitReady("vda"), Pivot("vda")),
    "active commit, aborted": (ActiveCommit("vda", "base"), AwaitReady("vda"), Abort("vda")),
    "commit": (Commit("vda", "sn1", "base"), AwaitCompleted("vda")),
    "pull": (Pull("vda"), AwaitCompleted("vda")),
    "partial pull": (Pull("vda", "base"), AwaitCompleted("vda")),
    "copy": (Copy("vda", "copy"), AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
    "encrypted copy": (Copy("vda", "copy", format=BLUE), AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
    "encrypted raw copy": (
        Copy("vda", "copy", format=Raw(secret="blue")),
        *(AwaitReady("vda"), Write("vda", "D", (1, 9)), Pivot("vda")),
    ),
    "shallow copy": (Copy("vda", "copy", shallow=True, format=BLUE), AwaitReady("vda"), Pivot("vda")),
}
_FEW = (("active commit", "luks", ""), ("encrypted copy", "qcow2", "blue"), ("pull", "luks", "blue"))
"""Those of the default tier: the job, the format of the base, the secret of the overlays."""


@pytest.mark.parametrize(
    ("job", "form", "over"),
    [
        pytest.param(job, form, over, marks=[] if (job, form.name, over) in _FEW else [pytest.mark.full])
        for job in JOBS
        for form in (RED, Raw(secret="red"))
        for over in ("", "blue")
    ],
    ids=lambda value: getattr(value, "name", value) or "plain",
)
def test_a_chain_of_encrypted_images_keeps_every_byte(trial: Trial, job: str, form: Format, over: str) -> None:
    """base (encrypted) <- sn1 <- cur (live), encrypted with another secret or not   becomes   what the job makes."""
    trial.do(DefineSecret("red"), DefineSecret("blue"))
    trial.create_base(form=form)
    trial.define().start()
    trial.do(Write("vda", "A", (0, 1, 2, 3, 4)), Zero("vda", (3,)), Write("vda", "A2", ranges=((458752 + 4096, 8192),)))
    trial.do(Snapshot("vda", "sn1", secret=over), Write("vda", "B", (1, 5)))
    trial.do(Snapshot("vda", "cur", secret=over), Write("vda", "C", (2, 6)))
    trial.verify("on three images")

    trial.do(Discard("vda", (4,)), *JOBS[job], Write("vda", "E", (0, 11)))

    trial.verify("after the job")


@pytest.mark.parametrize("form", [RED, pytest.param(Raw(secret="red"), marks=pytest.mark.full)], ids=lambda v: v.name)
@pytest.mark.parametrize("over", [pytest.param("", marks=pytest.mark.full), "blue"], ids=["plain", "encrypted"])
def test_a_chain_of_encrypted_images_starts_again(trial: Trial, form: Format, over: str) -> None:
    """base (encrypted) <- cur (live), encrypted or not   is started again as it is, and by another daemon."""
    trial.do(DefineSecret("red"), DefineSecret("blue"))
    trial.create_base(form=form)
    vm = trial.define().start()
    trial.do(Write("vda", "A", (0, 1, 2)), Snapshot("vda", "cur", secret=over), Write("vda", "B", (1, 5)))
    vm.shut_off()
    trial.do(StopDaemon(), StartDaemon())
    vm.start()
    trial.verify("started again by another daemon")

    vm.shut_off()
    vm.start()

    trial.verify("started again")


@pytest.mark.parametrize("over", ["", "blue"], ids=["plain", "encrypted"])
def test_an_overlay_of_an_encrypted_image_is_started_by_the_same_daemon(trial: Trial, over: str) -> None:
    """base (encrypted) <- cur (live), encrypted or not   is started again by the libvirtd that made the snapshot."""
    trial.do(DefineSecret("red"), DefineSecret("blue"))
    trial.create_base(form=RED)
    vm = trial.define().start()
    trial.do(Write("vda", "A", (0, 1, 2)), Snapshot("vda", "cur", secret=over), Write("vda", "B", (1, 5)))
    vm.shut_off()

    vm.start()

    trial.verify("started again")


def test_an_encrypted_disk_is_attached_saved_resized_and_detached(trial: Trial) -> None:
    """vda and vdb (encrypted)   are changed while the VM runs: QEMU has the secrets of what is plugged in."""
    trial.do(DefineSecret("red"), DefineSecret("blue"))
    trial.create_base(form=RED)
    trial.create_base(name="data", disk="vdb", form=Raw(secret="blue"))
    vm = trial.define().start()
    trial.do(Write("vda", "A", (0, 1)), Write("vdb", "B", (0, 1)), Detach("vdb"))
    trial.verify("detached")
    trial.do(Attach("vdb"), Write("vdb", "C", (2,)), Resize("vda", Geometry().disk_size + 65536))
    trial.verify("attached again, and resized")
    trial.do(Save(), Restore(), Write("vda", "D", (2,)), Write("vdb", "D", (3,)))
    trial.verify("restored")
    vm.shut_off()
    vm.start()

    trial.verify("started again")


@pytest.mark.needs("backup")
@pytest.mark.parametrize(
    "form", [RED, pytest.param(Raw(secret="red"), marks=pytest.mark.full)], ids=lambda value: value.name
)
def test_a_backup_to_an_encrypted_image_holds_the_instant(trial: Trial, form: Format) -> None:
    """base (encrypted) <- sn1 (live)   is backed up as   dest, encrypted with another secret."""
    trial.do(DefineSecret("red"), DefineSecret("blue"))
    trial.create_base(form=form)
    vda = trial.define().start().disk()
    vda.write("A", (0, 1, 2, 3))
    trial.do(Snapshot("vda", "sn1", secret="red"))
    vda.zero((2,))

    trial.do(BeginBackup(dests=("dest",), secret="blue"))
    vda.write("B", (1, 9))
    trial.do(AwaitBackup())

    trial.verify("backed up")


@pytest.mark.needs("backup")
def test_what_changed_in_an_encrypted_image_is_backed_up(trial: Trial) -> None:
    """base (encrypted, with bitmaps) <- sn1 (encrypted)   is backed up by pull, whole and since a checkpoint."""
    trial.do(DefineSecret("red"), DefineSecret("blue"))
    trial.create_base(form=RED)
    vda = trial.define().start().disk()
    vda.write("A", (0, 1, 2, 3))
    trial.do(CreateCheckpoint("one"))
    vda.write("B", (1,))
    trial.do(Snapshot("vda", "sn1", secret="blue"))
    vda.write("C", (5,))
    trial.do(BeginBackup(since="one", secret="blue"))
    vda.write("D", (2,))
    trial.verify_backup("since the checkpoint")
    trial.do(EndBackup(), BeginBackup(("vda",), ("dest",), since="one", secret="red"), AwaitBackup())

    trial.verify("backed up")


_NO_SECRET = "Secret not found: no secret with matching uuid"
_NO_KEY = "Parameter 'encrypt.key-secret' is required for cipher"
_REFUSED: Mapping[str, tuple[Sequence[Act], Act, str]] = {
    "snapshot": ((), Snapshot("vda", "sn1", secret="blue"), _NO_SECRET),
    "copy": ((), Copy("vda", "copy", format=BLUE), _NO_SECRET),
    "backup": ((), BeginBackup(dests=("dest",), secret="blue"), _NO_SECRET),
    "backup, scratch": ((), BeginBackup(secret="blue"), _NO_SECRET),
    "internal snapshot of a VM that is off": ((ShutOff(),), InternalSnapshot("in"), _NO_KEY),
}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(
            what,
            marks=[
                *([] if what == "snapshot" else [pytest.mark.full]),
                *([pytest.mark.needs("backup")] if "backup" in what else []),
            ],
        )
        for what in _REFUSED
    ],
)
def test_what_needs_a_secret_that_is_not_there_is_refused(trial: Trial, what: str) -> None:
    """base (encrypted, live)   stays as it is: libvirt has no secret BLUE, or does not pass RED on."""
    trial.do(DefineSecret("red"))
    trial.create_base(form=RED)
    trial.define().start()
    trial.do(Write("vda", "A", (0, 1, 2)))
    before, act, words = _REFUSED[what]
    trial.do(*before)

    trial.refused(act, words)


def test_a_vm_does_not_start_without_its_secret_and_does_with_it(trial: Trial) -> None:
    """base (encrypted) <- sn1   is started once libvirt knows the secret again."""
    trial.do(DefineSecret("red"))
    trial.create_base(form=RED)
    vm = trial.define().start()
    trial.do(Write("vda", "A", (0, 1, 2)), Snapshot("vda", "sn1"), Write("vda", "B", (1,)), ShutOff())
    trial.type(f"virsh secret-undefine {uuid_of('red')}").check()
    trial.refused(Start(), _NO_SECRET)

    trial.do(DefineSecret("red"))
    vm.start()

    trial.verify("started with its secret")


_TOO_SMALL = {
    "copy": "blockcopy vm1 vda --xml /export/dest.xml --reuse-external --transient-job --wait --pivot",
    "backup": "backup-begin vm1 /export/dest.xml --reuse-external",
}


@pytest.mark.needs("backup")
@pytest.mark.sabotaged  # a job that fails is nothing that the oracle knows of a sound storage
@pytest.mark.parametrize("what", _TOO_SMALL)
def test_an_encrypted_image_that_is_too_small_is_not_written_to(trial: Trial, what: str) -> None:
    """base (live)   is to be copied to   dest, encrypted, whose file is as large as the disk: it has a header, too."""
    trial.do(DefineSecret("blue"))
    disk = Geometry(cells=64)
    trial.create_base(disk)
    vm = trial.define().start()
    trial.do(Write("vda", "A", (0, 1, 40)))
    dest = Image("dest", Raw(secret="blue"), File(DIRECTORY / "dest.luks"))
    trial.do(LeaveFile(create(dest, disk.disk_size - LUKS_HEADER), file_name(dest.store)))
    file = trial.daemon.sandbox.outside(PurePosixPath(file_name(dest.store)))
    before = file.read_bytes()
    xml = copy_disk(dest.store, dest.format)
    if what == "backup":
        xml = f"<domainbackup mode='push'><disks>{backup_target('vda', dest.store, dest.format)}</disks></domainbackup>"
    trial.put("dest.xml", xml)

    done = trial.type(f"virsh {_TOO_SMALL[what]}")

    assert len(before) == disk.disk_size
    assert done.exit_status == 1, f"it is done: {done.output}"
    assert file.read_bytes() == before
    assert vm.disk().chain() == vm.disk().expected_chain()
    trial.verify("refused")
