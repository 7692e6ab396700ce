"""Every image of a disk and what its guest sees, measured by independent readers and held to the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.acts.backup import SOCKET
from harness.acts.guest import Flush
from harness.errors import ChainproofError, CheckFailed, CommandFailed, ImageError
from harness.journal import Kind
from harness.oracle.backup import BackedUp
from harness.oracle.bitmap import Bitmap
from harness.oracle.content import Content
from harness.oracle.state import Power
from harness.oracle.table import Row, Table, difference, inside_name, known
from harness.readers.nbd_reader import NbdReader
from harness.readers.offline import Offline
from harness.readers.own import Reader
from harness.readers.qemu_img import QemuImg
from harness.readers.rows import read_row
from harness.readers.served import Export, SlowClient, read_export
from harness.stack.certificates import PLACE
from harness.storage.stores import file_name
from harness.trial.nouns import Disk
from harness.trial.proofs import Proofs
from harness.waiting import settled

OWN_READER = "chainproof's qcow2 reader"
_COPIED = 2.0
"""Seconds after which a mirror that is in sync has copied what the guest has written."""


@dataclass(frozen=True)
class Readers:
    """The independent eyes; `run` is the id in this trial's markers: another trial's bytes are foreign.

    QEMU opens no snapshot inside an image over NBD: `qemu_img` reads those. `proofs` counts what was read of points in
    time.
    """

    own: Reader
    storage: NbdReader
    qemu_img: QemuImg
    run: str
    proofs: Proofs = field(default_factory=Proofs)


def verify(disk: Disk, moment: str, readers: Readers) -> Table:
    """Measure every image, and the guest if it runs, in two independent ways, and hold it to the oracle.

    Returns the table as measured and enters it in the journal. Raises CheckFailed with the cells that differ, and
    ValueError where there is nothing to verify, or no way to.
    """
    _require(disk)
    journal = disk.vm.stage.journal
    with journal.timed("verification"):
        seen = _verified(disk, moment, readers)
    _enter(disk, "verify", moment, seen, "the guest, an own qcow2 reader, QEMU over NBD")
    return seen


def verify_guest(disk: Disk, moment: str, readers: Readers) -> Table:
    """Hold what the guest sees to the oracle, where the images cannot be: a mirror that is on writes them late."""
    _require(disk)
    content = disk.content
    with disk.vm.stage.journal.timed("verification"):
        rows = tuple(row for row in content.table().rows if row.name == "guest")
        seen = Table((_guest_row(disk, readers.run),), content.geometry)
        wrong = difference(Table(rows, content.geometry), seen)
    if wrong:
        raise CheckFailed(f"the guest sees at {moment} what the oracle says{_of(disk)}", "otherwise", wrong)
    _enter(disk, "verify_guest", moment, seen, "the guest")
    return seen


def verify_backup(disk: Disk, moment: str, readers: Readers) -> Table:
    """Read a disk that a backup serves, and what it says was written, and hold both to the oracle: see `verify`."""
    known = _served(disk)
    with disk.vm.stage.journal.timed("verification"):
        bitmap = f"backup-{disk.target}" if known.since else ""
        backup = disk.vm.state.backup
        authority = disk.vm.things.daemon.sandbox.outside(PLACE) if backup and backup.tls else None
        export = read_export(_socket(disk), disk.target, disk.vm.domain.kill_qemu, bitmap, authority)
        seen = _held_to_backup(disk, moment, export.data, readers)
    if known.since is not None:
        _require_dirty(known.since, export, f"the backup says at {moment} what was written{_of(disk)}")
        readers.proofs.marked(disk.vm.name, disk.target, "", "backup", known.since)
    _enter(disk, "verify_backup", moment, seen, "an NBD client")
    return seen


@contextmanager
def slow_client(disk: Disk, moment: str, readers: Readers) -> Iterator[Callable[[Iterable[int]], None]]:
    """A client that reads a disk that a backup serves as it is told to: these cells now; in the end all are held.

    Raises CheckFailed with the cells that differ, or were not read, and ImageError.
    """
    _served(disk)
    cell = disk.content.geometry.cell_size
    with SlowClient(_socket(disk), disk.target, disk.vm.domain.kill_qemu) as client:
        data = bytearray(b"unread! " * (client.size() // 8))

        def read(cells: Iterable[int]) -> None:
            for number in cells:
                at = number * cell
                data[at : at + cell] = client.read(at, min(cell, len(data) - at))

        yield read
    seen = _held_to_backup(disk, moment, bytes(data), readers)
    _enter(disk, "verify_backup", moment, seen, "an NBD client that takes its time")


def _served(disk: Disk) -> BackedUp:
    backup = disk.vm.state.backup
    if backup is None or backup.push or disk.target not in backup.disks:
        raise ValueError(f"no backup serves {disk}")
    return backup.disks[disk.target]


def _socket(disk: Disk) -> Path:
    return disk.vm.things.daemon.sandbox.outside(SOCKET)


def _held_to_backup(disk: Disk, moment: str, data: bytes, readers: Readers) -> Table:
    known, geometry = _served(disk), disk.content.geometry
    row = read_row("backup", data[: geometry.size], geometry, readers.run, known.shows, len(data))
    seen = Table((row,), geometry)
    wrong = difference(Table((Row("backup", None, known.shows, size=known.size),), geometry), seen)
    if wrong:
        raise CheckFailed(f"the backup shows at {moment} the disk of the instant{_of(disk)}", "otherwise", wrong)
    readers.proofs.shown(disk.vm.name, disk.target, known.shows, known.size)
    return seen


def _require_dirty(since: Bitmap, export: Export, claim: str) -> None:
    """Raise CheckFailed unless a server says of the granules of a bitmap, and of no other, that they are dirty."""
    size = since.granularity
    seen = {granule for at, length in export.dirty for granule in range(at // size, -(-(at + length) // size))}
    missing, more = since.dirty - seen, seen - since.dirty - since.perhaps
    if missing or more:
        raise CheckFailed(claim, f"of {size} bytes each, it lacks {sorted(missing)}, and has {sorted(more)} besides")


def glance(disk: Disk, moment: str, readers: Readers, *, images: bool) -> None:
    """Hold what the guest sees to the oracle and, with `images`, what our own reader reads; nothing is entered.

    With `images`, QEMU writes first what it keeps in memory: the guest must have flushed all that it wrote. Where the
    VM is off they are what there is to look at. Raises CheckFailed.
    """
    if not images or disk.content.job is None:
        _glanced(disk, moment, readers, images=images)
        return

    def seen() -> CheckFailed | None:
        try:
            _glanced(disk, moment, readers, images=True)
        except CheckFailed as error:
            return error
        return None

    error = settled(seen, lambda found: found is None, timeout=_COPIED)  # a mirror copies a moment after it is written
    if error is not None:
        raise error


def _glanced(disk: Disk, moment: str, readers: Readers, *, images: bool) -> None:
    content, run = disk.content, readers.run
    awake = disk.is_on and disk.vm.state.power is Power.RUNNING
    witnesses = []
    if images:
        if awake:
            disk.vm.domain.port.flush(disk.target)
        ours = [*(image.name for image in disk.images() if readers.own.reads(image)), *_inside(content)]
        witnesses.append(_read(OWN_READER, ours, disk, readers.own, run))
    if awake:
        witnesses.append(Witness("the guest", ["guest"], (_guest_row(disk, run),)))
    claim = f"the disk's content {moment} is as the oracle says{_of(disk)}"
    held_to(content.table(guest=awake), witnesses, claim)


def verify_offline(disk: Disk, moment: str, guestfs: Offline, run: str) -> Table:
    """Hold what every image shows, read by libguestfs, to the oracle. The VM must be shut off."""
    content = disk.content
    with disk.vm.stage.journal.timed("verification"):
        rows = [
            read_row(image.name, guestfs.shows(image), content.geometry, run, content.shows(image.name))
            for image in disk.images()
        ]
    seen = Table(tuple(rows), content.geometry)
    wrong = difference(content.table(guest=False).without_contents(), seen)
    if wrong:
        claim = f"every layer shows at {moment} what the oracle says{_of(disk)}"
        raise CheckFailed(claim, "otherwise, by libguestfs", wrong)
    _enter(disk, "verify_offline", moment, seen, f"libguestfs {guestfs.version}")
    return seen


def _require(disk: Disk) -> None:
    if disk.opaque:
        raise ValueError(f"the guest's own bytes are on {disk}: there is no table to verify")
    if disk.vm.state.power is Power.PAUSED:
        raise ValueError(f"{disk.vm.name} is paused, and cannot flush {disk}: resume it first")


@dataclass(frozen=True)
class Witness:
    """One that has looked: the `rows` that it read of those that it can read (`names`), or why it could read none.

    With `shown_only`, it cannot tell what images contain.
    """

    who: str
    names: Sequence[str]
    rows: tuple[Row, ...] = ()
    failure: str = ""
    shown_only: bool = False

    def difference(self, expected: Table) -> str:
        """In what it saw something else than is expected; "" if it did not."""
        known = expected.of(self.names)
        known = known.without_contents() if self.shown_only else known
        return self.failure or difference(known, Table(self.rows, expected.geometry))


def held_to(expected: Table, witnesses: Sequence[Witness], claim: str) -> None:
    """Raise CheckFailed with what each witness saw, if one of them saw something else than is expected."""
    told: dict[str, list[str]] = {}
    for witness in witnesses:
        told.setdefault(witness.difference(expected), []).append(witness.who)
    agreeing = told.pop("", [])
    if told:
        seen = f"otherwise, by {' and '.join(who for names in told.values() for who in names)}"
        seen += f"; as expected, by {' and '.join(agreeing)}" if agreeing else ""
        parts = [f"{' and '.join(names)}:\n{words}" for words, names in told.items()]
        raise CheckFailed(claim, seen, "\n".join(parts) if len(told) > 1 else next(iter(told)))


def _verified(disk: Disk, moment: str, readers: Readers) -> Table:
    running = disk.is_on
    if running:
        _flush(disk)
    content, run = disk.content, readers.run
    images = disk.images()
    files, ours = ([i.name for i in some] for some in (images, filter(readers.own.reads, images)))
    ours += _inside(content)
    with ThreadPoolExecutor(2) as aside:  # while QEMU reads for us, the guest reads its device, and we the images
        guest = aside.submit(lambda: (_guest_row(disk, run),)) if running else None
        own = aside.submit(_read, OWN_READER, ours, disk, readers.own, run)
        by_qemu = _read("QEMU over NBD", files, disk, readers.storage, run)
    witnesses = [own.result(), by_qemu]
    if _inside(content) and content.job is None:  # one keeps others from the images that it works on
        witnesses.append(_read_inside(disk, readers))
    if guest is not None:
        try:
            witnesses.insert(0, Witness("the guest", ["guest"], guest.result()))
        except ChainproofError as error:
            for each in witnesses:
                error.add_note(f"{each.who}: {each.difference(content.table()) or 'as expected'}")
            raise
    claim = f"the disk's content at {moment} is as the oracle says{_of(disk)}"
    held_to(_expected(content, guest=running), witnesses, claim)
    readers.proofs.read(disk.vm.name, disk.target, content)
    inside = Table(own.result().rows, content.geometry).of(_inside(content)).rows
    return Table((*by_qemu.rows, *inside, *(guest.result() if guest else ())), content.geometry)


def _inside(content: Content, *, certain: bool = True) -> list[str]:
    """What the table calls the snapshots that are certainly inside the images, or perhaps."""
    return [
        inside_name(name, snapshot)
        for name, layer in content.layers.items()
        for snapshot, held in layer.inside.items()
        if held.certain == certain
    ]


def _read_inside(disk: Disk, readers: Readers) -> Witness:
    """What qemu-img says that the snapshots inside images show, of those that can be shown."""
    content, names, rows = disk.content, list[str](), list[Row]()
    for image in disk.images():
        for snapshot, held in content.layer(image.name).inside.items():
            name = inside_name(image.name, snapshot)
            if not held.certain or not content.readable(image.name):
                continue
            names.append(name)
            try:
                data = readers.qemu_img.shows_inside(image, snapshot)
            except (ImageError, CommandFailed) as error:
                return Witness("qemu-img", names, failure=f"{name} cannot be read: {error}")
            should = content.shows_inside(image.name, snapshot)
            rows.append(read_row(name, data, content.geometry, readers.run, should, len(data)))
    return Witness("qemu-img", names, tuple(rows), shown_only=True)


def _expected(content: Content, *, guest: bool) -> Table:
    """What is to be measured: of what cannot be flushed (a discard where there is no write cache) either state."""
    if not content.unflushed:
        return content.table(guest=guest)
    files = content.unsettled().table(guest=False)
    return Table((*files.rows, *content.table(guest=guest).of(["guest"]).rows), files.geometry)


def _read(who: str, names: Sequence[str], disk: Disk, reader: Reader | NbdReader, run: str) -> Witness:
    content, images = disk.content, disk.images()
    try:
        rows = reader.measure(images, content.geometry, run, content)
        doubtful = _inside(content, certain=False)
        return Witness(who, names, tuple(row for row in rows if row.name not in doubtful))
    except ImageError as error:
        layer = next((f"{i.name}: " for i in images if file_name(i.store) == error.image), "")
        return Witness(who, names, failure=f"{layer}it cannot be read: {error}")


def _flush(disk: Disk) -> None:
    """Unflushed metadata is in QEMU's cache only: an outside read before would see corruption that is none."""
    if disk.content.unflushed:
        disk.vm.stage.do(Flush(disk.target, disk.vm.name))
    else:
        disk.vm.domain.port.flush(disk.target)


def _guest_row(disk: Disk, run: str) -> Row:
    content = disk.content
    return read_row("guest", disk.read(), content.geometry, run, content.guest(), _guest_size(disk))


def _guest_size(disk: Disk) -> int:
    """The disk's size as the guest knows it, which it hears of by an interrupt a moment after a resize."""
    port = disk.vm.domain.port
    return settled(lambda: port.size(disk.target), lambda size: size == disk.content.size, timeout=2)


def _enter(disk: Disk, how: str, moment: str, seen: Table, by: str) -> None:
    detail = {"read by": by, "how": how, "moment": moment, "vm": disk.vm.name, "disk": disk.target}
    certain = str(known(disk.content.table(), seen)) if how != "verify_backup" else str(seen)
    if certain != str(seen):
        detail["certain"] = certain
    disk.vm.stage.journal.record(Kind.TABLE, f"{moment}{_of(disk)}\n{seen}", detail)


def _of(disk: Disk) -> str:
    """Which disk, where there are others."""
    return f" ({disk.vm.name}, {disk})" if len(disk.vm.stage.state.vms) > 1 or len(disk.vm.all_disks) > 1 else ""
