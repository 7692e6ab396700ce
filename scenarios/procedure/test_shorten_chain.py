"""Reducing the length of a disk image chain, as libvirt's page on merging chains has it, by paths and by numbers.

The page leaves out a backslash after --base=, calls base.raw base.qcow2, and asks for the chain of a cur.qcow2 that its
example has not: what is typed here is what it means.
"""

from __future__ import annotations

import pytest

from harness.acts.chain import AwaitCompleted, Commit
from harness.acts.snapshot import Snapshot
from harness.oracle.chain import Chain
from harness.oracle.image import Raw
from harness.trial.trial import Trial
from harness.vm.virsh import active_images, listed_images

_PATHS = "--base=/export/images/base.raw --top=/export/images/b.qcow2"


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(_PATHS, id="paths"),
        pytest.param("--base=vda[1] --top=vda[3]", id="numbers", marks=pytest.mark.full),
    ],
)
def test_the_documented_commit_takes_two_images_out_of_the_chain(trial: Trial, names: str) -> None:
    """base.raw <- a <- b <- c (live)   becomes   base.raw <- c (live)."""
    trial.create_base(form=Raw())
    vda = trial.define().start().disk("vda")
    vda.write("A", (0, 1, 2, 3))
    trial.step("(1) The current active disk image in use")
    assert active_images(trial.type("virsh domblklist vm1").check().stdout) == {"vda": "/export/images/base.raw"}

    trial.step("(2) Create the image chain, with some differentiating content in each image")
    for number, (overlay, label, cells) in enumerate((("a", "B", (1, 4)), ("b", "C", (2, 5)), ("c", "D", (3, 6))), 1):
        diskspec = f"--diskspec vda,file=/export/images/{overlay}.qcow2"
        line = f"virsh snapshot-create-as --domain vm1 snap{number} {diskspec} --disk-only --no-metadata"
        trial.type(line, means=Snapshot("vda", overlay))
        vda.write(label, cells)
    trial.verify("Four images")

    trial.step("(3) Enumerate the backing file chain")
    info = trial.type("qemu-img info --force-share --backing-chain /export/images/c.qcow2").check()
    assert len(listed_images(info.stdout)) == 4
    trial.step("(4) Again, the current active disk image")
    assert active_images(trial.type("virsh domblklist vm1").check().stdout) == {"vda": "/export/images/c.qcow2"}

    trial.step("(5) Merge the contents of b and a into base")
    line = f"virsh blockcommit vm1 vda {names} --wait --verbose"
    with trial.hold(line, means=Commit("vda", "b", "base"), ends=AwaitCompleted("vda")):
        pass
    trial.verify("Two images fewer")
    assert vda.chain() == Chain.named("base", "c")
