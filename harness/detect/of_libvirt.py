"""Saboteurs of libvirt's view: what it answers, what it keeps on disk, and which events it sends."""

from __future__ import annotations

import libvirt

from harness.acts.chain import ActiveCommit, AwaitReady, Pivot
from harness.detect import traces
from harness.detect.behind import another_domain, forget_layer, left_beside, refused_pivot
from harness.detect.lies import swapped
from harness.detect.saboteur import Family, Saboteur, Scene
from harness.process import Completed

_COMMITTED = (ActiveCommit("vda", "base"), AwaitReady("vda"), Pivot("vda"))


def _old_xml(scene: Scene) -> None:
    """The live XML is that of before the commit."""
    domain, honest = scene.vm.domain, scene.vm.domain.xml
    old = honest()
    scene.trial.do(*_COMMITTED)

    def xml(*, inactive: bool = False) -> str:
        scene.lies += not inactive
        return honest(inactive=True) if inactive else old

    scene.stack.enter_context(swapped(domain, "xml", xml))
    scene.vm.xml()  # it is seen to lie


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
