"""Saboteurs of the files that images are: which there are, what kind each is, what it takes, who has it open."""

from __future__ import annotations

from harness.detect import patches, traces
from harness.detect.saboteur import Family, Saboteur, Scene, unopened

_I = Family.IMAGE


def _stray(scene: Scene) -> None:
    traces.outside(scene, "base").with_name("stray").touch()


def _held(scene: Scene) -> object:
    """Whether the tool runs."""
    return " qemu-io " in scene.trial.daemon.sandbox.processes()


ROWS = (
    unopened(
        "a lock that is left",
        "a QEMU tool has cur open for writing",
        ("locks released",),
        "cur can be opened for writing",
        lambda scene: scene.stack.enter_context(patches.locked(scene.trial, "cur")),
        _held,
    ),
    unopened(
        "an image that is gone",
        "the file of base is removed",
        ("chain in the image headers", "files", "content, shut off", "allocation"),
        "the files are base.qcow2, cur.qcow2, sn1.qcow2, sn2.qcow2",
        lambda scene: traces.outside(scene, "base").unlink(),
        traces.image("base"),
    ),
    Saboteur(
        "an image larger than its data",
        _I,
        "1 MiB of data is at the end of the file of cur, and nothing refers to it",
        ("allocation",),
        "bytes at most: its data and metadata",
        lambda scene: patches.grow_file(scene.trial, "cur", 1 << 20),
        traces.image("cur"),
    ),
    Saboteur("a stray file", _I, "a file lies among the images", ("files",), "stray", _stray, traces.images),
    Saboteur(
        "another mode of a file",
        _I,
        "everybody may write to sn1",
        ("mode and owner",),
        "it is -rw-rw-rw-",
        lambda scene: patches.change_mode(scene.trial, "sn1"),
        traces.image("sn1"),
    ),
    Saboteur(
        "another owner of a file",
        _I,
        "sn1 belongs to another user",
        ("mode and owner",),
        "1:1, inode",
        lambda scene: patches.change_owner(scene.trial, "sn1"),
        traces.image("sn1"),
    ),
    Saboteur(
        "a file in the place of another",
        _I,
        "a copy of sn1 has taken its place",
        ("mode and owner",),
        "sn1.qcow2 stays",
        lambda scene: patches.replace_by_copy(scene.trial, "sn1"),
        traces.image("sn1"),
    ),
)
