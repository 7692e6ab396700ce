"""The guest lives on the chain that is merged under it: its root file system is vda."""

from __future__ import annotations

from harness.oracle.chain import Chain
from harness.readers.file_system import check_ext4
from harness.trial.trial import Trial


def test_a_guest_works_on_while_its_own_root_is_merged_and_boots_again_from_the_base_alone(trial: Trial) -> None:
    """base <- sn1 <- sn2 <- cur (live, the guest's root)   becomes   base (live, then booted again)."""
    trial.create_root_base()
    vm = trial.define(root_on_vda=True).start()
    vda, guest = vm.disk("vda"), vm.guest
    assert guest.host.mount_point("/").device == "/dev/vda"
    assert guest.host.mount_point("/").filesystem == "ext4"
    guest.start_writer()
    for overlay in ("sn1", "sn2", "cur"):
        vda.snapshot(overlay)
        guest.wait_written()

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        guest.wait_written()
        job.pivot()
    guest.wait_written()

    assert vda.chain() == Chain.named("base")
    assert guest.same_boot()
    written = guest.stop_writer()
    assert guest.check_written() == written
    guest.freeze()
    vm.shut_off()
    check_ext4(trial.reader.shows(vda.image("base")), "base")
    trial.remove("sn1", "sn2", "cur")
    vm.start()
    assert guest.check_written() == written
