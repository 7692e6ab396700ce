"""A chain that does not say how to read it, and its repair, as libvirt's page on backing chains has it."""

from __future__ import annotations

from harness.acts.images import CreateImage, Rebase
from harness.acts.power import Start
from harness.oracle.chain import Chain
from harness.trial.trial import Trial

_FORGET = "printf '\\\\000\\\\000\\\\000\\\\000' | dd of=/export/images/top.qcow2 bs=1 seek=112 conv=notrunc"


def test_the_documented_repair_of_a_chain_keeps_every_byte(trial: Trial) -> None:
    """base <- middle <- top, whose header names no format   is refused;   with the format it starts."""
    trial.create_base()
    trial.do(CreateImage("middle", backing="base"), Rebase("middle", "base"))
    trial.do(CreateImage("top", backing="middle"), Rebase("top", "middle"))
    vm = trial.define().start()
    vda = vm.disk("vda")
    vda.write("A", (0, 1, 2))
    vm.shut_off()

    trial.step("(1) The header of top says what it is on, and no more how to read that")
    trial.type(f'busybox sh -c "{_FORGET}"').check()
    trial.step("(2) libvirt does not start the VM, and says why")
    trial.stage.refused(Start(), "format of backing image '.*middle.qcow2' of image '.*top.qcow2' was not specified")

    trial.step("(3) Write the format into the header")
    line = "qemu-img rebase -f qcow2 -F qcow2 -b /export/images/middle.qcow2 /export/images/top.qcow2 -u"
    trial.type(line, means=Rebase("top", "middle"))
    trial.step("(4) The VM starts")
    vm.start()
    vda.write("B", (1,))
    trial.verify("Started")
    assert vda.chain() == Chain.named("base", "middle", "top")
