"""Saboteurs of image files: bytes, headers, bookkeeping, and what kind of file each is."""

from __future__ import annotations

from harness.acts.images import CreateImage, DefineSecret
from harness.detect import patches, traces
from harness.detect.lies import pretend
from harness.detect.saboteur import CLAIM, Family, Saboteur, Scene, unopened
from harness.errors import AgentError
from harness.oracle.image import Qcow2
from harness.trial.trial import BASE

_I = Family.IMAGE


def _flip(image: str, label: str, cell: int) -> Saboteur:
    def flip(scene: Scene) -> None:
        scene.trial.verify("before")
        scene.stack.enter_context(patches.flipped_bit(scene.trial, image, label, cell))
        scene.broken()
        scene.trial.verify("a bit is flipped")

    return Saboteur(
        f"a flipped bit in {image}",
        _I,
        f"one bit in the middle of a cluster of {image} is another",
        (CLAIM,),
        f"{image} contains: cell {cell} ... should be {label}, is torn",
        flip,
        traces.image(image),
    )


def _write_lost(scene: Scene) -> None:
    patches.put_back(scene.trial, "sn1", "B", 3, stale="A")


def _write_lost_when_off(scene: Scene) -> None:
    scene.vm.shut_off()
    scene.begin()
    _write_lost(scene)


def _unreadable(scene: Scene) -> None:
    scene.vm.shut_off()
    scene.begin()
    patches.misplace_cluster(scene.trial, "sn2", cluster=6)
    scene.broken()
    scene.trial.verify("a cluster is misplaced")


def _io_error(scene: Scene) -> None:
    scene.vm.shut_off()
    scene.begin()
    patches.misplace_cluster(scene.trial, "sn2", cluster=6)
    scene.vm.start()
    scene.broken()
    scene.vm.disk("vda").read()


def _io_error_that_is_not_asked_about(scene: Scene) -> None:
    try:
        _io_error(scene)
    except AgentError:
        return


def _other_options(scene: Scene) -> None:
    trial = scene.trial
    trial.create_base()
    trial.define()
    patches.make_anew(trial, BASE, "cluster_size=4k")


def _in_the_clear(scene: Scene) -> None:
    trial = scene.trial
    trial.do(DefineSecret("red"))
    create = CreateImage(BASE, format=Qcow2(secret="red"))
    pretend(trial, create, instead=lambda: patches.make_anew(trial, BASE))
    trial.define()


ROWS = (
    _flip("base", "A", 1),
    _flip("sn1", "B", 4),
    _flip("sn2", "C", 7),
    _flip("cur", "D", 9),
    Saboteur(
        "a lost write in a lower layer",
        _I,
        "sn1 has the bytes of before the guest's write",
        ("content",),
        "sn1 contains: cell 3 should be B, is A",
        _write_lost,
        traces.image("sn1"),
    ),
    Saboteur(
        "a lost write, with the VM off",
        _I,
        "sn1 has the bytes of before the guest's write",
        ("content, shut off",),
        "sn1 contains: cell 3 should be B, is A",
        _write_lost_when_off,
        traces.image("sn1"),
    ),
    Saboteur(
        "a cluster between two clusters",
        _I,
        "an L2 entry of sn2 points where no cluster begins",
        (CLAIM,),
        "sn2: it cannot be read: ... no cluster boundary",
        _unreadable,
        traces.image("sn2"),
    ),
    Saboteur(
        "an I/O error in the guest",
        _I,
        "QEMU cannot read what an L2 entry of sn2 points to",
        ("no I/O error",),
        "no I/O error event",
        _io_error_that_is_not_asked_about,
        traces.image("sn2"),
    ),
    Saboteur(
        "a larger disk in a header",
        _I,
        "the header of sn1 says that its disk is larger than it is",
        ("content", "virtual size"),
        "sn1 is a disk of 786432 bytes",
        lambda scene: patches.grow_disk(scene.trial, "sn1", 1 << 20),
        traces.image("sn1"),
    ),
    unopened(
        "another backing file in a header",
        "the header of cur names sn1, which is not right below it",
        ("chain in the image headers",),
        "missing: sn2",
        lambda scene: patches.name_backing(scene.trial, "cur", "sn1"),
        traces.image("cur"),
    ),
    unopened(
        "another backing format in a header",
        "the header of sn2 says that its backing file is raw",
        ("chain in the image headers", "backing format"),
        "raw by chainproof's reader, raw by qemu-img",
        lambda scene: patches.name_backing(scene.trial, "sn2", "sn1", "raw"),
        traces.image("sn2"),
    ),
    unopened(
        "a snapshot inside an image",
        "cur has an internal snapshot",
        ("inside images",),
        "it has left",
        lambda scene: patches.leave_snapshot_inside(scene.trial, "cur"),
        traces.image("cur"),
    ),
    unopened(
        "an image that was not closed",
        "the header of sn1 marks it as dirty",
        ("inside images",),
        "sn1 is not marked as dirty",
        lambda scene: patches.mark_header(scene.trial, "sn1", patches.DIRTY),
        traces.image("sn1"),
    ),
    unopened(
        "an image that is marked as corrupt",
        "the header of sn1 marks it as corrupt",
        ("chain in the image headers", "images clean", "locks released"),
        "sn1.qcow2: is marked as corrupt",
        lambda scene: patches.mark_header(scene.trial, "sn1", patches.CORRUPT),
        traces.image("sn1"),
    ),
    unopened(
        "an allocated hole",
        "base holds zeros as data where nobody wrote",
        ("holes",),
        "65536 bytes are allocated",
        lambda scene: patches.write_zeros(scene.trial, "base", 10 * 65536, 65536),
        traces.image("base"),
    ),
    unopened(
        "metadata that count as free",
        "the refcount of the L1 table of sn2 is 0",
        ("refcounts", "images clean"),
        "0 leaks, 1 others",
        lambda scene: patches.forget_reference(scene.trial, "sn2"),
        traces.image("sn2"),
    ),
    unopened(
        "a cluster that is leaked",
        "the refcount of the L1 table of sn2 is 2",
        ("refcounts", "images clean"),
        "1 leaks",
        lambda scene: patches.count_once_more(scene.trial, "sn2"),
        traces.image("sn2"),
    ),
    Saboteur(
        "an image with other clusters",
        _I,
        "an empty base has clusters of 4096 bytes in place of 65536",
        ("chain in the image headers",),
        "it has 4096",
        _other_options,
        lambda scene: traces.digest(scene.trial.daemon.sandbox.outside(scene.trial.path(BASE))),
        bare=True,
    ),
    Saboteur(
        "an image in the clear",
        _I,
        "base is not encrypted, though it was made so",
        ("encryption", "images clean", "content, shut off", "locks released"),
        "base is encrypted with the secret red",
        _in_the_clear,
        traces.images,
        bare=True,
    ),
)
