"""What real users call images, and how they name backing files: libvirt and QEMU handle all of it, and so do we."""

from __future__ import annotations

import pytest

from harness.acts.images import CreateImage, Rebase
from harness.oracle.chain import Chain
from harness.trial.trial import Trial


@pytest.mark.parametrize("name", ["base.1764042000", "with blank", "a:b,c=d", "Grün'日本"])
def test_an_image_may_be_called_anything(trial: Trial, name: str) -> None:
    """NAME <- NAME.2 (live)   becomes   NAME (live)."""
    trial.create_base(name=name)
    vda = trial.define().bring_up().disk("vda")
    vda.write("A", (0, 1, 2))
    vda.snapshot(f"{name}.2")
    vda.write("B", (2, 3))
    trial.verify("two layers")

    with vda.active_commit(into=name) as job:
        job.wait_ready()
        job.pivot()

    trial.verify("merged")
    assert vda.chain() == Chain.named(name)


@pytest.mark.parametrize("text", ["./base.qcow2", "../images/base.qcow2", "/export//images/base.qcow2"])
def test_a_backing_file_is_the_same_file_whatever_its_name_in_the_header(trial: Trial, text: str) -> None:
    """base <- cur (made by hand, then live)   becomes   base (live)."""
    trial.create_base()
    trial.do(CreateImage("cur"))
    line = f"qemu-img rebase -u -f qcow2 -F qcow2 -b {text} /export/images/cur.qcow2"
    trial.type(line, means=Rebase("cur", "base"))
    vda = trial.define().bring_up().disk("vda")
    vda.write("A", (0, 1))
    trial.verify("two layers")

    with vda.active_commit(into="base") as job:
        job.wait_ready()
        job.pivot()

    trial.verify("merged")
    assert vda.chain() == Chain.named("base")
