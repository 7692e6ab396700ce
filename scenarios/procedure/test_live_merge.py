"""The documented procedure, word for word: merge an entire chain, current active image included, into its base."""

from __future__ import annotations

import pytest

from harness.acts.chain import ActiveCommit, Pivot
from harness.acts.snapshot import Snapshot
from harness.oracle.documented import AFTER_SYNC_IS_BROKEN, LAYERS, T0, T1, T2, as_documented
from harness.trial.nouns import Disk
from harness.trial.trial import Trial
from harness.vm.virsh import active_images, job_progress, listed_images

pytestmark = pytest.mark.elsewhere_too


@pytest.mark.cold
def test_the_documented_live_merge_folds_the_whole_chain_into_its_base(trial: Trial, vda: Disk) -> None:
    """base <- sn1 <- sn2 <- cur (live)   becomes   base (live)."""
    (_, label, cells), *overlays = LAYERS
    vda.write(label, cells)

    trial.step("(1) Current active disk image")
    listed = trial.type("virsh domblklist vm1").check()
    assert active_images(listed.stdout) == {"vda": "/export/images/base.qcow2"}

    trial.step("(2) Create external snapshots (and add contents in between)")
    for number, (overlay, label, cells) in enumerate(overlays, 1):
        diskspec = f"vda,file=/export/images/{overlay}.qcow2"
        options = f"--diskspec {diskspec} --disk-only --atomic --no-metadata"
        line = f"virsh snapshot-create-as --domain vm1 snap{number} {options}"
        made = trial.type(line, means=Snapshot("vda", overlay))
        assert made.stdout.strip() == f"Domain snapshot snap{number} created"
        vda.write(label, cells)
    assert as_documented(trial.verify("T0: four layers, before the job")) == T0

    trial.step("(3) Enumerate the backing file chain")
    info = trial.type("qemu-img info --force-share --backing-chain /export/images/cur.qcow2").check()
    assert listed_images(info.stdout) == [f"/export/images/{name}.qcow2" for name in ("cur", "sn2", "sn1", "base")]

    trial.step("(4) Check the current active disk image, again")
    listed = trial.type("virsh domblklist vm1").check()
    assert active_images(listed.stdout) == {"vda": "/export/images/cur.qcow2"}

    trial.step("(5) Live active commit of the entire chain, including pivot")
    line = "virsh blockcommit vm1 vda --verbose --pivot --active"
    with trial.hold(line, means=ActiveCommit("vda", "base"), ends=Pivot("vda")) as held:
        trial.job(vda).wait_ready()
        assert as_documented(trial.verify("T1: end of phase one, job awake and in sync, not pivoted")) == T1
    merged = held.done
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
    vda.write(*AFTER_SYNC_IS_BROKEN)
    assert as_documented(trial.verify("T2: sn1, sn2 and now cur are invalid")) == T2
