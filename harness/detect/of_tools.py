"""Saboteurs of the witnesses: a qemu-img that lies, a reader that reads something else. Others must contradict them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from harness.detect import patches, traces
from harness.detect.lies import swapped
from harness.detect.saboteur import CLAIM, Family, Saboteur, Scene
from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.image import File, Image
from harness.oracle.table import Row
from harness.process import Completed
from harness.readers.own import Reader
from harness.readers.qemu_img import QemuImg
from harness.stack.sandbox import BUSYBOX, IMAGES

_PROGRAM, _LIES = IMAGES.parent / "qemu-img", IMAGES.parent / "lies"
_SCRIPT = f"""
lie() {{ echo >>{_LIES}; }}
info() {{ qemu-img info -U --output=json -f qcow2 {IMAGES}/"$1".qcow2; }}
"""


def _edit(field: str, true: str, false: str) -> str:
    """Lines of the script that put something else into a field of what info prints."""
    edit = f"""s/"{field}": {true}/"{field}": {false}/"""
    return f"""case $1 in
    info) lie; qemu-img "$@" | "$busybox" sed '{edit}'; exit ;;
esac"""


_LINES = {
    "hides a layer": """case "$*" in
    *--backing-chain*cur.qcow2) lie; echo "["; info cur; echo ,; info sn2; echo ,; info base; echo "]"; exit ;;
esac""",
    "finds nothing": """case $1 in
    check) lie; echo '{"check-errors": 0}'; exit ;;
esac""",
    "lies about the size": _edit("virtual-size", "786432", "1048576"),
    "lies about the format": _edit("backing-filename-format", '"qcow2"', '"raw"'),
    "lies about the clusters": _edit("cluster-size", "65536", "4096"),
}


def _lying(how: str, scene: Scene, then: Callable[[Scene], None] = lambda _: None) -> None:
    """Have the trial use a qemu-img that lies, a script in the sandbox around the real one; `then` is what it hides."""
    sandbox = scene.trial.daemon.sandbox
    program = sandbox.outside(_PROGRAM)
    program.write_text(f'busybox={BUSYBOX}\n{_SCRIPT}{_LINES[how]}\nexec qemu-img "$@"\n')
    scene.stack.callback(program.unlink)

    def run(command: Sequence[str], *, timeout: float, input_bytes: bytes | None = None) -> Completed:
        wrapped = [BUSYBOX, "sh", str(_PROGRAM), *command[1:]]
        return sandbox.run(wrapped, timeout=timeout, input_bytes=input_bytes)

    honest = scene.trial.qemu_img
    scene.trial.qemu_img = QemuImg(run, honest.resolve, sandbox.outside(IMAGES))
    scene.stack.callback(sandbox.outside(_LIES).unlink, missing_ok=True)
    then(scene)
    _ask(scene)


def _ask(scene: Scene) -> None:
    """Have it lie once, so that it is seen to."""
    image = scene.vm.disk("vda").image("cur")
    scene.trial.qemu_img.info_chain(image)
    scene.trial.qemu_img.check(scene.vm.disk("vda").image("base"))


def _forgotten(scene: Scene) -> None:
    scene.vm.shut_off()
    patches.forget_reference(scene.trial, "sn2")


def _lies(scene: Scene) -> object:
    return traces.digest(scene.trial.daemon.sandbox.outside(_LIES))


def _stale(scene: Scene) -> Path:
    """A copy of base as it is before the guest writes once more: what somebody reads who reads old data."""
    scene.trial.verify("before")
    file = traces.outside(scene, "base")
    copy = file.parent.with_name("stale.qcow2")
    shutil.copy(file, copy)
    scene.stack.callback(copy.unlink)
    return copy


def _own_reader_is_stale(scene: Scene) -> None:
    copy, sandbox = _stale(scene), scene.trial.daemon.sandbox
    base = scene.trial.path("base")

    def resolve(path: PurePosixPath) -> Path:
        scene.lies += path == base
        return copy if path == base else sandbox.outside(path)

    readers = scene.trial.readers
    scene.trial.readers = replace(readers, own=Reader(resolve, copy.parent))
    _commit_and_verify(scene)


def _qemu_is_stale(scene: Scene) -> None:
    copy, storage = _stale(scene), scene.trial.readers.storage
    honest = storage.measure
    stale = File(IMAGES.parent / copy.name)

    def measure(images: Sequence[Image], geometry: Geometry, run: str, expected: Content) -> tuple[Row, ...]:
        scene.lies += 1
        read = [replace(image, store=stale) if image.name == "base" else image for image in images]
        return honest(read, geometry, run, expected)

    scene.stack.enter_context(swapped(storage, "measure", measure))
    _commit_and_verify(scene)


def _commit_and_verify(scene: Scene) -> None:
    """The base gets new data; who reads the copy does not see them."""
    scene.broken()
    with scene.vm.disk("vda").commit("sn1", "base") as job:
        job.wait_completed()
    scene.trial.verify("committed")


_T = Family.TOOL


def _qemu_img(
    how: str, breaks: str, meant: tuple[str, ...], words: str, then: Callable[[Scene], None] = lambda _: None
) -> Saboteur:
    return Saboteur(f"a qemu-img that {how}", _T, breaks, meant, words, lambda scene: _lying(how, scene, then), _lies)


ROWS = (
    _qemu_img(
        "hides a layer",
        "info --backing-chain leaves out sn1",
        ("chain in the image headers",),
        "missing: sn1",
    ),
    _qemu_img(
        "finds nothing",
        "check finds no error, whatever there is: the refcount of a cluster in use is 0",
        ("refcounts",),
        "by chainproof's reader",
        _forgotten,
    ),
    _qemu_img(
        "lies about the size",
        "info says that all disks are larger than they are",
        ("virtual size",),
        "786432 by chainproof's reader, 1048576 by qemu-img",
    ),
    _qemu_img(
        "lies about the format",
        "info says that backing files are raw",
        ("backing format",),
        "qcow2 by chainproof's reader, raw by qemu-img",
    ),
    _qemu_img(
        "lies about the clusters",
        "info says that clusters have 4096 bytes",
        ("chain in the image headers",),
        "has cluster-size 65536",
    ),
    Saboteur(
        "a reader of ours that reads old data",
        _T,
        "our own reader reads base as it was before a commit",
        (CLAIM,),
        "otherwise, by chainproof's qcow2 reader; as expected, by the guest and QEMU over NBD",
        _own_reader_is_stale,
        traces.lies,
    ),
    Saboteur(
        "a storage daemon that reads old data",
        _T,
        "QEMU over NBD reads base as it was before a commit",
        (CLAIM,),
        "otherwise, by QEMU over NBD; as expected, by the guest and chainproof's qcow2 reader",
        _qemu_is_stale,
        traces.lies,
    ),
)
