"""Saboteurs of QEMU's I/O, by a shared object that is loaded into it (saboteur.c): writes, flushes, reads, discards."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.acts.chain import ActiveCommit, AwaitCompleted, AwaitReady, Pivot, Pull
from harness.detect.saboteur import CLAIM, Family, Saboteur, Scene
from harness.verdict.power_loss import CHECK as POWER_LOSS

SOURCE = Path(__file__).resolve().with_name("saboteur.c")
"""What is built and loaded."""
_CLUSTER = 65536
_L2, _FIRST, _DATA = (4 * _CLUSTER, 5 * _CLUSTER - 1), (5 * _CLUSTER, 5 * _CLUSTER), (5 * _CLUSTER, 1 << 60)
"""From which to which byte of the file the writes that count begin: in the L2 table of a
small disk, the first cluster of data, anywhere in the data."""


def _order(scene: Scene, how: str, image: str, nth: int, place: tuple[int, int], by: int) -> None:
    """Have the write done otherwise, from now on to the end of the scene: see saboteur.c."""
    record = scene.trial.daemon.record
    for name in ("order", "hits"):
        scene.stack.callback((record / name).unlink, missing_ok=True)
    name = scene.trial.path(image).name
    first, last = place
    line = f"{1 + secrets.randbelow(1 << 30)} {how} /{name} {nth} {first} {last} {by}\n"
    (record / "order.new").write_text(line)
    (record / "order.new").rename(record / "order")


def _hits(scene: Scene) -> object:
    """What it has done, a line each time."""
    file = scene.trial.daemon.record / "hits"
    return file.read_text() if file.exists() else ""


def _write(*writes: tuple[str, int]) -> Callable[[Scene], None]:
    """The guest writes labels into cells, one after the other, and flushes each."""

    def write(scene: Scene) -> None:
        for label, cell in writes:
            scene.vm.disk("vda").write(label, (cell,))

    return write


def _commit(scene: Scene) -> None:
    scene.trial.do(ActiveCommit("vda", "base"), AwaitReady("vda"), Pivot("vda"))


def _pull(scene: Scene) -> None:
    scene.trial.do(Pull("vda", "base"), AwaitCompleted("vda"))


def _discard(scene: Scene) -> None:
    scene.vm.disk("vda").discard(range(12))


def _write_and_look(scene: Scene) -> None:
    _write(("F", 1))(scene)
    scene.trial.verify("flushed")


def _row(
    name: str,
    breaks: str,
    how: str,
    words: str,
    story: Callable[[Scene], None],
    *,
    image: str = "cur",
    nth: int = 1,
    place: tuple[int, int] = _DATA,
    by: int = 0,
    meant: Sequence[str] = ("content",),
    before: Callable[[Scene], None] = lambda _: None,
    recorded: bool = False,
) -> Saboteur:
    """A row of a story that is told while one of the writes to an image is done otherwise, or all flushes are."""

    def install(scene: Scene) -> None:
        before(scene)
        _order(scene, how, image, nth, place, by)
        scene.broken()
        story(scene)

    return Saboteur(name, Family.IO, breaks, tuple(meant), words, install, _hits, recorded=recorded)


_IN_COMMIT = "a write of a commit to base"
ROWS = (
    _row(
        "a dropped write",
        "a write of the guest's to cur is not done",
        "drop",
        "cur contains: cell 1 should be F, is zero",
        _write(("F", 1)),
    ),
    _row(
        "a torn write",
        "half of a write to cur is done",
        "tear",
        "cur contains: cell 1, its bytes 32768-65535, should be F",
        _write(("F", 1)),
    ),
    _row(
        "a misplaced write",
        "a write to cur is done 64 KiB further on",
        "misplace",
        "cur contains: cell 1 should be F, is zero",
        _write(("F", 1)),
        by=_CLUSTER,
    ),
    _row(
        "a stale write",
        "a write to cur has the bytes of the one before",
        "stale",
        "cur contains: cell 6 should be G, is layer F's cell 1",
        _write(("F", 1), ("G", 6)),
        nth=2,
    ),
    _row(
        "a zeroed write",
        "a write to cur is done with zeros",
        "zero",
        "cur contains: cell 1 should be F, is zero",
        _write(("F", 1)),
    ),
    _row(
        "a late write",
        "a write to cur is not done when the flush after it is",
        "late",
        "cur contains: cell 1 should be F, is zero",
        _write_and_look,
        by=1000,
        meant=(CLAIM,),
    ),
    _row(
        "a doubled write",
        "a write to cur is done once more, after a later one to the same place",
        "double",
        "cur contains: cell 1 should be G, is F",
        _write(("F", 1), ("G", 1)),
    ),
    _row(
        "a reordered write",
        "a write to cur is done after a later one to the same place",
        "reorder",
        "cur contains: cell 1 should be G, is F",
        _write(("F", 1), ("G", 1)),
    ),
    _row(
        "a read of old data",
        "QEMU reads what was in cur before a write",
        "old",
        "otherwise, by the guest; as expected, by chainproof's qcow2 reader and QEMU over NBD",
        _write(("F", 9)),
    ),
    _row(
        "a dropped write of metadata",
        "the L2 entry of what the guest writes to cur is not written",
        "drop",
        "cur contains: cell 1 should be F, is a hole",
        _write(("F", 1)),
        place=_L2,
    ),
    _row(
        "a discard that is lost",
        "what is discarded in cur stays allocated",
        "undiscard",
        "cur gives back what it has freed",
        _discard,
        nth=0,
        meant=("allocation",),
        before=lambda scene: scene.vm.disk("vda").write("F", range(12)),
    ),
    _row(
        "a header that is not written",
        "a pull does not write into the header of cur what it is on",
        "unhead",
        "cur should have base as backing file, has sn2",
        _pull,
        nth=0,
    ),
    _row(
        "a dropped write of a commit",
        f"{_IN_COMMIT} is not done",
        "drop",
        "base contains: cell 0 should be D, is A",
        _commit,
        image="base",
        place=_FIRST,
    ),
    _row(
        "a torn write of a commit",
        f"half of {_IN_COMMIT} is done",
        "tear",
        "base contains: cell 0, its bytes 32768-65535, should be D, is A",
        _commit,
        image="base",
        place=_FIRST,
    ),
    _row(
        "a misplaced write of a commit",
        f"{_IN_COMMIT} is done 64 KiB further on",
        "misplace",
        "cell 1 should be A, is layer D's cell 0",
        _commit,
        image="base",
        place=_FIRST,
        by=_CLUSTER,
    ),
    _row(
        "a stale write of a commit",
        f"{_IN_COMMIT} has the bytes of the one before",
        "stale",
        "base contains: cell ... : shifted",
        _commit,
        image="base",
        nth=2,
    ),
    _row(
        "a zeroed write of a commit",
        f"{_IN_COMMIT} is done with zeros",
        "zero",
        "base contains: cell 0 should be D, is zero",
        _commit,
        image="base",
        place=_FIRST,
    ),
    _row(
        "a dropped write of a commit's metadata",
        "an L2 entry of base is not written",
        "drop",
        "base contains: cell 4 should be B, is a hole",
        _commit,
        image="base",
        place=_L2,
    ),
    _row(
        "a flush that is lost",
        "no flush of cur is done",
        "unflush",
        "cell 1, bytes 65536 to 131071: A, promised was F",
        _write(("F", 1)),
        nth=0,
        meant=(POWER_LOSS,),
        recorded=True,
    ),
    _row(
        "a flush of a commit that is lost",
        "no flush of base is done",
        "unflush",
        "A, promised was D",
        _commit,
        image="base",
        nth=0,
        meant=(POWER_LOSS,),
        recorded=True,
    ),
)
