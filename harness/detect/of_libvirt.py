"""Saboteurs of libvirt's view: what it answers, what it keeps on disk, and which events it sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import libvirt

from harness.acts.chain import ActiveCommit, AwaitReady, Pivot, Throttle
from harness.acts.device import Attach
from harness.acts.images import CreateImage
from harness.acts.power import Undefine
from harness.acts.snapshot import Snapshot
from harness.detect import traces
from harness.detect.behind import another_domain, forget_layer, left_beside, refused_pivot
from harness.detect.lies import pretend, swapped
from harness.detect.saboteur import Family, Saboteur, Scene
from harness.process import Completed

_COMMITTED = (ActiveCommit("vda", "base"), AwaitReady("vda"), Pivot("vda"))


def _lie_about_live_xml(scene: Scene, lie: Callable[[str], str]) -> None:
    """Have the live XML be what `lie` makes of it."""
    domain, honest = scene.vm.domain, scene.vm.domain.xml

    def xml(*, inactive: bool = False) -> str:
        scene.lies += not inactive
        return honest(inactive=True) if inactive else lie(honest())

    scene.stack.enter_context(swapped(domain, "xml", xml))
    scene.vm.xml()  # it is seen to lie


def _old_xml(scene: Scene) -> None:
    """The live XML is that of before the commit."""
    old = scene.vm.xml()
    scene.trial.do(*_COMMITTED)
    _lie_about_live_xml(scene, lambda _: old)


def _other_driver(scene: Scene) -> None:
    """The live XML says that disks are served otherwise than they were defined."""
    _lie_about_live_xml(scene, lambda xml: xml.replace("discard='unmap'", "discard='ignore'"))


def _old_definition(scene: Scene) -> None:
    old = scene.vm.xml(inactive=True)
    scene.trial.do(*_COMMITTED)
    scene.vm.domain.define(old)


def _old_list(scene: Scene) -> None:
    """What virsh prints is what it printed before the commit."""
    daemon, honest = scene.trial.daemon, scene.trial.daemon.virsh
    old = honest("domblklist", scene.vm.name)
    scene.trial.do(*_COMMITTED)

    def virsh(*arguments: str, timeout: float = 120) -> Completed:
        scene.lies += arguments[0] == "domblklist"
        return old if arguments[0] == "domblklist" else honest(*arguments, timeout=timeout)

    scene.stack.enter_context(swapped(daemon, "virsh", virsh))
    daemon.virsh("domblklist", scene.vm.name)  # it is seen to lie


def _larger_device(scene: Scene) -> None:
    flag = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
    scene.vm.domain.call("the resize", lambda handle: handle.blockResize("vda", 1 << 20, flag))


def _unlimited(scene: Scene) -> None:
    pretend(scene.trial, Throttle("vda", 5000))


def _still_defined(scene: Scene) -> None:
    pretend(scene.trial, Undefine())


def _plugged_in_for_now(scene: Scene) -> None:
    """A disk is plugged in, and the definition knows nothing of it."""
    trial, attach = scene.trial, Attach("vdb")
    trial.do(CreateImage("data", "vdb"))
    for_now = replace(attach.call(trial.state), flags=("LIVE",))
    pretend(trial, attach, instead=lambda: trial.stage.hands["binding"].perform(for_now))


def _named_absolutely(scene: Scene) -> None:
    """An overlay is to name what it is on by its place beside it, and names it by its path."""
    absolute = CreateImage("over", backing="cur")
    binding = scene.trial.stage.hands["binding"]
    pretend(
        scene.trial,
        replace(absolute, relative=True),
        instead=lambda: binding.perform(absolute.call(scene.trial.state)),
    )
    scene.trial.do(Snapshot("vda", "over", reuse=True))


_L, _E = Family.LIBVIRT, Family.EVENT
ROWS = (
    Saboteur(
        "a live XML that is old",
        _L,
        "after a commit libvirt answers with the chain of before",
        ("chain in the live XML",),
        "still there: sn1, sn2, cur",
        _old_xml,
        traces.lies,
    ),
    Saboteur(
        "a disk that is served otherwise",
        _L,
        "libvirt answers that the discards of a disk are dropped, which are to be passed on",
        ("options of block nodes",),
        "'discard': 'ignore'",
        _other_driver,
        traces.lies,
    ),
    Saboteur(
        "a persistent definition that is old",
        _L,
        "after a commit the definition names the layer of before",
        ("chain in the persistent definition",),
        "the chain in the persistent definition is base",
        _old_definition,
        traces.libvirts_files,
    ),
    Saboteur(
        "a list of disks that is old",
        _L,
        "after a commit virsh domblklist shows the layer of before",
        ("chain in domblklist",),
        "domblklist shows /export/images/base.qcow2",
        _old_list,
        traces.lies,
    ),
    Saboteur(
        "a larger device",
        _L,
        "the disk grows though nobody has resized it",
        ("content", "virtual size", "size of the device", "options of block nodes"),
        "libvirt says 1048576 (domblkinfo)",
        _larger_device,
        traces.nodes,
    ),
    Saboteur(
        "a disk that is plugged in for now",
        _L,
        "a disk is reported plugged in for good, and the definition has none",
        ("disks", "chain in the persistent definition"),
        "its definition has vda",
        _plugged_in_for_now,
        traces.lies,
    ),
    Saboteur(
        "a disk that is not throttled",
        _L,
        "a limit of operations is reported set, and QEMU has none",
        ("options of block nodes",),
        "the device of vda runs with iops 5000",
        _unlimited,
        traces.lies,
    ),
    Saboteur(
        "a VM that is still defined",
        _L,
        "it is reported undefined, and libvirt keeps its definition",
        ("definition on disk",),
        "vm1 is transient, and has no definition",
        _still_defined,
        traces.lies,
    ),
    Saboteur(
        "a backing file that is named absolutely",
        _L,
        "an overlay names what it is on by its path, and not by its place beside it",
        ("chain in the image headers",),
        "over names its backing file as cur.qcow2, relatively",
        _named_absolutely,
        traces.lies,
    ),
    Saboteur(
        "files that say otherwise than libvirtd",
        _L,
        "what the next libvirtd will read leaves out sn1",
        ("definition on disk", "status on disk"),
        "on disk says what libvirt answers",
        lambda scene: forget_layer(scene.trial, "sn1", "base"),
        traces.libvirts_files,
    ),
    Saboteur(
        "a file that is left of a VM",
        _L,
        "beside the definition lies another file of the VM",
        ("left of a VM",),
        "vm1.left",
        lambda scene: scene.stack.enter_context(left_beside(scene.vm.domain)) and None,
        traces.libvirts_files,
    ),
    Saboteur(
        "a guest that nobody has saved",
        _L,
        "beside the definition lies what looks like the VM's memory",
        ("left of a VM",),
        "in files what it has saved",
        lambda scene: scene.stack.enter_context(left_beside(scene.vm.domain, "save")) and None,
        traces.libvirts_files,
    ),
    Saboteur(
        "another domain",
        _L,
        "libvirt has a domain that no scenario defined",
        ("domains",),
        "they are stray, vm1",
        lambda scene: scene.stack.enter_context(another_domain(scene.trial)) and None,
        traces.domains,
    ),
    Saboteur(
        "an error in the daemon's log",
        _L,
        "libvirtd logs that a pivot is refused",
        ("daemon unharmed",),
        "the daemon logs no error",
        lambda scene: refused_pivot(scene.vm.domain),
        traces.daemon_log,
    ),
)
