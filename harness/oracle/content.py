"""The oracle: what every layer of a disk holds and shows after each operation. Pure values, no I/O.

A file's own contents are what its clusters hold, a hole where it has none; what it shows is read through its backing
files. The rules are QEMU's: docs/interop/live-block-operations.rst for the jobs, docs/interop/qcow2.rst for reading,
block/qcow2-cluster.c for what a write or a discard does to a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.oracle import bitmap
from harness.oracle.bitmap import Bitmap, Bitmaps
from harness.oracle.geometry import Geometry, Range
from harness.oracle.image import QCOW2, Format, Qcow2, Raw, mirror_granularity
from harness.oracle.job import TWO_PHASES, End, Job, Kind, Phase
from harness.oracle.layer import (
    Inside,
    Layer,
    Parts,
    alike,
    discarded,
    doubtful,
    either,
    either_inside,
    in_doubt,
    is_certain,
    may_be_hole,
    nothing,
    over,
    plain,
    reads_zero,
    union,
    written,
)
from harness.oracle.parts import HOLE, UNDEFINED, ZERO, Blank, Part, Perhaps, check_label
from harness.oracle.table import Row, Table, inside_name

_BACKUP_UNIT = 65536


class Impossible(ValueError):
    """An act that cannot be done in this state: libvirt must refuse it, too."""


@dataclass(frozen=True)
class Content:
    """A disk at one moment: every image file that still exists, which is active, and the job if there is one.

    Each operation returns the disk as it is afterwards, or raises Impossible if it cannot be done now.
    The parts that an operation touches are named as whole `cells` or as `ranges` of bytes, aligned to parts.
    `unflushed` are the parts of the active file that the guest wrote since its last flush.
    `in_flight` are writes that the guest began and that nobody has waited for: part to label. `acknowledged` are parts
    that the guest must see, though nobody can tell which image holds them: their write met a snapshot. `bitmaps` are
    those in the images; `young` are the names of those that were made while a write was in flight. `ends` are those of
    all its jobs, in order.
    """

    geometry: Geometry
    layers: Mapping[str, Layer]
    active: str
    job: Job | None = None
    unflushed: frozenset[int] = frozenset()
    in_flight: Mapping[int, str] = field(default_factory=dict)
    acknowledged: Mapping[int, str] = field(default_factory=dict)
    bitmaps: Bitmaps = field(default_factory=dict)
    young: frozenset[str] = frozenset()
    ends: tuple[End, ...] = field(default=(), compare=False)
    _shown: dict[str, Parts] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def new(cls, base: str, geometry: Geometry | None = None, form: Format | None = None) -> Content:
        """A disk of one empty image."""
        geometry = geometry or Geometry()
        form = _fits(form or QCOW2, geometry)
        empty = Layer(nothing(form, geometry.parts), None, geometry.disk_size, form)
        return cls(geometry, {base: empty}, base)

    # what there is

    def contains(self, name: str) -> Parts:
        """The own contents of file `name`, a value per part."""
        return self.layer(name).own

    def shows(self, name: str) -> Parts:
        """What file `name` shows through its backing files, a value per part; HOLE where none of them holds anything.

        Raises Impossible if one of them was removed.
        """
        if name not in self._shown:
            layer = self.layer(name)
            if layer.backing is None:
                self._shown[name] = over(layer.own, (HOLE,) * self.geometry.parts)
            elif layer.backing not in self.layers:
                raise Impossible(f"{name} cannot be read: its backing file {layer.backing} was removed")
            else:
                self._shown[name] = over(layer.own, self.shows(layer.backing))
        return self._shown[name]

    def readable(self, name: str) -> bool:
        """Whether all backing files of `name` still exist."""
        backing = self.layer(name).backing
        return backing is None or (backing in self.layers and self.readable(backing))

    def reads_as(self, name: str, shown: Parts) -> bool:
        """Whether file `name` shows for certain what the guest has seen."""
        return all(map(alike, self.shows(name), shown))

    def guest(self) -> Parts:
        """What the guest sees, a value per part: what a job writes below what covers it is invisible to it."""
        job = self.job
        if job is not None and job.target != self.active and job.target in self.chain():
            shown = self.holding(job.target, job.began).shows(self.active)
        else:
            shown = self.shows(self.active)
        return _changed(shown, self.acknowledged)

    def chain(self) -> tuple[str, ...]:
        """The names in the active file's backing chain, base first."""
        return self._chain_of(self.active)

    def files(self) -> tuple[str, ...]:
        """The names of all image files that exist, in the order in which they were made."""
        return tuple(self.layers)

    def layer(self, name: str) -> Layer:
        """The file of this name; raises Impossible if there is none."""
        if name not in self.layers:
            raise Impossible(f"there is no file {name}; there are {', '.join(self.layers)}")
        return self.layers[name]

    @property
    def size(self) -> int:
        """The size in bytes of the virtual disk that the guest has."""
        return self.layer(self.active).size

    def table(self, *, guest: bool = True) -> Table:
        """All files and, with `guest`, what the guest sees, as rows to print and to hold against what is measured."""
        rows = [
            Row(
                name,
                layer.own,
                self.shows(name) if self.readable(name) else None,
                layer.backing,
                size=layer.size,
                backing_format=layer.backing_format,
            )
            for name, layer in self.layers.items()
        ]
        rows += [row for name in self.layers for row in self._rows_inside(name)]
        if guest:
            rows.append(Row("guest", None, self.guest(), size=self.size))
        return Table(tuple(rows), self.geometry)

    def _rows_inside(self, name: str) -> Iterator[Row]:
        """Those of the snapshots inside an image, through its backing files as they are now."""
        layer = self.layer(name)
        for snapshot, held in layer.inside.items():
            if not held.certain:
                continue
            shown = self.shows_inside(name, snapshot) if self.readable(name) else None
            yield Row(inside_name(name, snapshot), held.own, shown, layer.backing, size=held.size)

    def shows_inside(self, name: str, snapshot: str) -> Parts:
        """What a snapshot inside file `name` shows, through the backing files that there are now."""
        layer = self.layer(name)
        then = replace(layer, own=layer.inside[snapshot].own)
        return replace(self, layers={**self.layers, name: then}).shows(name)

    # what the guest does

    def write(self, label: str, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> Content:
        """The guest writes the pattern of `label`, and has not flushed it yet."""
        return self._put(check_label(label), self.geometry.parts_of(cells, ranges))

    def begin_write(self, label: str, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> Content:
        """The guest begins to write the pattern of `label`: until it is waited for, nobody knows how far it has got."""
        parts = self.geometry.parts_of(cells, ranges)
        if not parts.isdisjoint(self.in_flight):
            raise Impossible("a write to some of these parts is in flight already")
        before, after = self._seen_by_guest(parts), self._put(check_label(label), parts)
        doubt = in_doubt(before.contains(self.active), after.contains(self.active), before.guest())
        begun = before.holding(self.active, doubt)._mirrored(dict.fromkeys(parts, UNDEFINED))
        begun = begun._wrote(parts, certain=False)
        return replace(begun, in_flight={**self.in_flight, **dict.fromkeys(parts, label)})

    def end_write(self) -> Content:
        """All writes that were in flight are acknowledged: the guest sees them.

        One that met a snapshot may be in the new active file or in the one below it.
        """
        done: Content = replace(self, in_flight={})
        for label in dict.fromkeys(self.in_flight.values()):
            parts = frozenset(part for part, other in self.in_flight.items() if other == label)
            elsewhere = frozenset(part for part in parts if self.layer(self.active).own[part] is HOLE)
            if elsewhere:
                done = replace(done, acknowledged={**done.acknowledged, **dict.fromkeys(elsewhere, label)})
                values = dict.fromkeys(elsewhere, UNDEFINED)
                held = in_doubt(
                    done.contains(self.active),
                    written(done.layer(self.active), done.guest(), values, self.geometry),
                    done.guest(),
                )
                done = done.holding(self.active, held)._wrote(elsewhere, certain=False)
            if parts - elsewhere:
                done = done._put(label, parts - elsewhere)
        kept = bitmap.undone(done.bitmaps, self.bitmaps, self.young)
        return replace(done, bitmaps=kept, young=frozenset())

    def zero(self, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> Content:
        """The guest writes zeros: they hide what lies below (a zero cluster, or zeros as data)."""
        return self._put(ZERO, self.geometry.parts_of(cells, ranges))

    def discard(
        self, cells: Iterable[int] = (), ranges: Iterable[Range] = (), *, passed_on: bool | None = None
    ) -> Content:
        """The guest discards, and the disk passes it on (`discard='unmap'`).

        See `harness.oracle.layer.discarded` for what of it is promised, and `doubtful` for how little while a mirror
        or a pull is on, or whatever else does not pass it on for certain.
        """
        parts = self.geometry.parts_of(cells, ranges)
        layer, shown = self.layer(self.active), self.guest()
        known = self._seen_by_guest(parts)
        if passed_on is None:
            passed_on = self.job is None or self.job.kind == "commit"
        if passed_on:
            own = discarded(layer, shown, parts, self.geometry)
            return known.holding(self.active, own)._mirrored({})._wrote(parts)
        # nobody knows whether a discard that is dropped somewhere has come by the bitmaps
        doubt = dict.fromkeys(doubtful(layer, shown, parts), UNDEFINED)
        changed = known.holding(self.active, _changed(layer.own, doubt))
        return changed._mirrored(doubt, allocates=False)._wrote(parts, certain=False)

    def flush(self) -> Content:
        """The guest flushes: what it wrote to the active file survives. It does not flush the target of a mirror."""
        return replace(self, unflushed=frozenset())

    # snapshots inside images

    def keep(self, snapshot: str, *, memory: bool = False) -> Content:
        """Make a snapshot inside the active file, which is flushed; with `memory`, that of the guest, too."""
        self._idle("a snapshot")
        layer = self.layer(self.active)
        if not isinstance(layer.format, Qcow2) or layer.format.data_file:
            raise Impossible(f"{self.active} can have no snapshots inside")
        if snapshot in layer.inside:
            raise Impossible(f"{self.active} has a snapshot {snapshot} inside")
        kept = {**layer.inside, snapshot: Inside(layer.own, layer.size, memory)}
        held = replace(layer, inside=kept, had_memory=layer.had_memory or memory)
        return replace(self, layers={**self.layers, self.active: held}, unflushed=frozenset())

    def go_back(self, snapshot: str, chain: Sequence[str]) -> Content:
        """The disk goes on in the last image of `chain`, which holds again what it did when a snapshot was made in it.

        The chain is what it was then: each image has its backing file again.
        """
        *_, image = chain
        there = replace(self, active=image, unflushed=frozenset(), in_flight={}, acknowledged={})
        layer, held = there.layer(image), there.inside(snapshot)
        there = replace(there, layers={**self.layers, image: replace(layer, own=held.own, size=held.size)})
        for name, backing in zip(chain[1:], chain, strict=False):
            if there.layer(name).backing != backing:
                there = replace(there.rebase(name, backing), active=image)
        return there

    def let_go(self, snapshot: str, image: str = "") -> Content:
        """Delete a snapshot inside an image: the active file, unless another is named."""
        image = image or self.active
        self.inside(snapshot, image)
        layer = self.layer(image)
        kept = {name: held for name, held in layer.inside.items() if name != snapshot}
        return replace(self, layers={**self.layers, image: replace(layer, inside=kept)})

    def inside(self, snapshot: str, image: str = "") -> Inside:
        """The snapshot of this name inside an image, or the active file; raises Impossible unless it certainly is."""
        image = image or self.active
        held = self.layer(image).inside.get(snapshot)
        if held is None or not held.certain:
            raise Impossible(f"{image} has no snapshot {snapshot} inside")
        return held

    # what the host does

    def add(
        self, name: str, form: Format, backing: str | None = None, size: int = 0, *, relative: bool = False
    ) -> Content:
        """A new empty image, not in the chain; of `size` bytes, or as large as `backing`, or as the active file.

        With `relative` its header names the backing file relatively.
        """
        self._absent(name)
        size = size or self.layer(backing or self.active).size
        below = None if backing is None else self.layer(backing).format.name
        own = nothing(_fits(form, self.geometry), self.geometry.parts)
        empty = Layer(own, backing, size, form, below, relative)
        return replace(self, layers={**self.layers, name: empty})

    def write_image(self, name: str, label: str, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> Content:
        """The host writes the pattern of `label` into one image, as if it were the guest's disk."""
        layer = self.layer(name)
        if self.is_encrypted(name):
            raise Impossible(f"{name} is encrypted, or an image below it: libguestfs cannot open it")
        values: dict[int, Part] = dict.fromkeys(self.geometry.parts_of(cells, ranges), check_label(label))
        marked = replace(self, bitmaps=bitmap.wrote(self.bitmaps, name, values, self.geometry))
        return marked.holding(name, written(layer, self.shows(name), values, self.geometry))

    def is_encrypted(self, name: str) -> bool:
        """Whether an image is encrypted, or one of those below it."""
        return any(self.layers[each].format.secret for each in self._chain_of(name) if each in self.layers)

    def rebase(self, name: str, backing: str | None, *, relative: bool = False) -> Content:
        """The host writes another backing file into the header of `name`; no data moves (`qemu-img rebase -u`).

        What was above the former active file is active: the chain is read from the top.
        """
        below = None if backing is None else self.layer(backing).format.name
        changed = replace(self.layer(name), backing=backing, backing_format=below, relative=relative)
        active = name if backing == self.active else self.active
        return replace(self, layers={**self.layers, name: changed}, active=active)

    def compress(self, name: str) -> Content:
        """Have all that image `name`, which has no backing file, holds in compressed clusters.

        A cluster that reads as zeros is a hole then; the rest is data, as a whole (`qemu-img convert -c`).
        """
        layer = self.layer(name)
        if layer.backing is not None or not isinstance(layer.format, Qcow2):
            raise Impossible(f"{name} is no qcow2 image without a backing file")
        if layer.format.secret:
            raise Impossible(f"{name} is encrypted, which compressed clusters cannot be")
        if not all(map(is_certain, layer.own)):
            raise Impossible(f"what {name} holds is not certain")
        if self.bitmaps.get(name):
            raise Impossible(f"{name} has bitmaps, which would be lost")
        own = list(layer.own)
        for unit in {self.geometry.unit_around(part, layer.format.cluster_size) for part in range(len(own))}:
            empty = all(reads_zero(own[part]) for part in unit)
            for part in unit:
                own[part] = HOLE if empty else ZERO if own[part] is HOLE else own[part]
        return self.holding(name, own)

    def resize(self, size: int) -> Content:
        """The active file's virtual disk is `size` bytes from now on; it may not lose a cell."""
        self._idle("a resize")
        layer = self.layer(self.active)
        if layer.inside and isinstance(layer.format, Qcow2) and layer.format.compat == "0.10":
            raise Impossible(f"{self.active} has snapshots inside, and version 2 keeps no sizes of theirs")
        if size < self.geometry.size:
            raise Impossible(f"a disk of {size} bytes has no room for {self.geometry.cells} cells")
        return replace(self, layers={**self.layers, self.active: replace(layer, size=size)})

    def snapshot(self, overlay: str, form: Format | None = None) -> Content:
        """Make `overlay` the active file, with the present one as its backing file; that one is flushed.

        Its format is `form`, or else qcow2 with the clusters of what it covers.
        """
        self._idle("a snapshot")
        grown = self.add(overlay, form or self.overlaid(), self.active)
        return grown._on(overlay)

    def reverted(self, below: str, overlay: str) -> Content:
        """The disk goes back to what `below` shows, on a new overlay of it; what was active is removed."""
        self.layer(below)
        gone = replace(self, active=below, unflushed=frozenset(), in_flight={}, acknowledged={})
        return gone._without((self.active,)).snapshot(overlay, QCOW2)

    def reuse(self, overlay: str) -> Content:
        """Make `overlay`, an empty image that exists on the active file, the active file; that one is flushed."""
        self._idle("a snapshot")
        layer = self.layer(overlay)
        if layer.backing != self.active or any(part is not HOLE for part in layer.own):
            raise Impossible(f"{overlay} is no empty image on {self.active}")
        return self._on(overlay)

    def _on(self, overlay: str) -> Content:
        marked = bitmap.covered(self.bitmaps, self.active, overlay)
        return replace(self, active=overlay, unflushed=frozenset(), bitmaps=marked)

    def overlaid(self, secret: str = "") -> Format:
        """The format of an image that libvirt makes on the model of the active file, encrypted with a secret or not."""
        form = self.layer(self.active).format
        return replace(_inherited(form) if isinstance(form, Qcow2) else QCOW2, secret=secret)

    def backed_up(self, dest: str, since: Bitmap | None, form: Format | None = None) -> tuple[Content, Parts]:
        """A backup to the file `dest` begins, whole or of what a bitmap says was written; and what it will hold.

        The file is made, in the format `form`, or else is there, empty, with a backing file or without.

        QEMU copies units of 64 KiB, or of the target's clusters (block/backup.c, backup_calculate_cluster_size). Of a
        unit of zeros it tells the target only that: where nothing lies below, it may stay a hole. What is not whole has
        the active file as its backing file, until somebody puts it on the backup before (libvirt qemu_backup.c).
        """
        made = self if form is None else self.add(dest, form, self.active if since else None, self.size)
        form, shown = made.layer(dest).format, self.guest()
        if made.contains(dest) != nothing(made.layer(dest).format, self.geometry.parts) or dest in self.chain():
            raise Impossible(f"{dest} is not empty, or in use")
        if made.layer(dest).size != self.size:
            raise Impossible(f"{dest} is not as large as the disk")
        unit = max(_BACKUP_UNIT, form.discard_unit)
        own = list(made.contains(dest))
        for certain in (False, True):
            parts = range(self.geometry.parts) if since is None else _of_bitmap(since, self.geometry, certain=certain)
            for copied in {self.geometry.unit_around(part, unit) for part in parts}:
                below = made.layer(dest).backing
                zeros = below is None and all(reads_zero(shown[part]) for part in copied)
                for part in copied:
                    value = ZERO if shown[part] is HOLE else shown[part]
                    is_doubtful = zeros or not certain
                    own[part] = Perhaps(value) if is_doubtful and isinstance(value, str | Blank) else value
        doubt = tuple(HOLE if part is HOLE else UNDEFINED for part in own)
        return made.holding(dest, doubt), tuple(own)

    def copied(self, name: str, dest: str) -> Content:
        """The host copies the raw file `name`; a hole may become zeros."""
        layer = self.layer(name)
        if layer.format.name != Raw().name:
            raise Impossible(f"{name} is not raw")
        made = self.add(dest, Raw(), None, layer.size)
        return made.holding(dest, [Perhaps(ZERO) if part is HOLE else part for part in layer.own])

    def mark(self, name: str, image: str = "") -> Content:
        """A checkpoint is made: a bitmap of this name says what is written from now on to an image: the active file."""
        image = image or self.active
        form = self.layer(image).format
        if isinstance(form, Raw) or form.compat != "1.1":
            raise Impossible(f"{image} can have no bitmaps")
        own = self.bitmaps.get(image, {})
        if name in own:
            raise Impossible(f"{image} has a bitmap {name}")
        made = Bitmap(bitmap.granularity(form)).wrote(self.in_flight, self.geometry, certain=False)
        young = self.young | {name} if self.in_flight else self.young
        return replace(self, bitmaps={**self.bitmaps, image: {**own, name: made}}, young=young)

    def unmark(self, name: str) -> Content:
        """A checkpoint is deleted: no image of the chain has a bitmap of this name."""
        chain = self.chain()
        kept = {
            image: {each: found for each, found in those.items() if image not in chain or each != name}
            for image, those in self.bitmaps.items()
        }
        return replace(self, bitmaps={image: those for image, those in kept.items() if those})

    def written_since(self, name: str) -> Bitmap:
        """What was written to the disk since a checkpoint: the bitmaps of this name in the chain, joined.

        Raises Impossible if the active file has none.
        """
        found: Bitmap | None = None
        for image in reversed(self.chain()):
            own = self.bitmaps.get(image, {}).get(name)
            if own is None:
                break
            found = own if found is None else found.joined(own)
        if found is None:
            raise Impossible(f"{self.active} has no bitmap {name}")
        return found

    def active_commit(self, base: str, *, deletes: bool = False) -> Content:
        """An active commit into `base` begins: it will hold all of the layers above, whose files it `deletes`."""
        self._idle("an active commit")
        return self._begin("active-commit", base, top=self.active, deletes=deletes)

    def commit(self, top: str, base: str, *, deletes: bool = False, relative: bool = False) -> Content:
        """A commit of the layers above `base` up to `top`, which is not active, into `base` begins.

        With `relative` the layer above will name `base` relatively, as all from it down name what they are on.
        """
        self._idle("a commit")
        if top == self.active:
            raise Impossible(f"{top} is the active layer: that takes an active commit")
        begun = self._begin("commit", base, top=top, deletes=deletes)
        chain = self.chain()
        return begun._relatively(chain[chain.index(base) + 1 : chain.index(top) + 2]) if relative else begun

    def pull(self, base: str | None = None, *, relative: bool = False) -> Content:
        """A pull of what the layers above `base` (None: all) hold into the active file begins; `relative` as above."""
        self._idle("a pull")
        chain = self.chain()
        if base is not None and base not in chain[:-1]:
            raise Impossible(f"{base} is not below the active layer {self.active}")
        begun = self._begin("pull", self.active, base=base)
        if not relative:
            return begun
        if base is None:
            raise Impossible("there is no base to name")
        return begun._relatively(chain[chain.index(base) + 1 :])

    def copy(self, dest: str, *, shallow: bool = False, form: Format | None = None, reuse: bool = False) -> Content:
        """A copy to the file `dest` begins: of the whole chain, or with `shallow` of the active layer alone.

        The file is made, or with `reuse` is there, empty.
        """
        self._idle("a copy")
        layer = self.layer(self.active)
        backing = layer.backing if shallow else None
        if not reuse:
            made = self.add(dest, form or self.made_by_copy(), backing, layer.size)
            return made._begin("copy", dest, base=backing)
        there = self.layer(dest)
        if dest in self.chain() or there.backing != backing or there.size != layer.size:
            raise Impossible(f"{dest} is no image that a copy of {self.active} may go to")
        if there.own != nothing(there.format, self.geometry.parts):
            raise Impossible(f"{dest} is not empty")
        return self._begin("copy", dest, base=backing)

    def made_by_copy(self) -> Format:
        """The format of an image that libvirt makes for a copy, if it is told of none."""
        return Raw() if isinstance(self.layer(self.active).format, Raw) else self.overlaid()

    def ready(self, *, earlier: bool = False) -> Content:
        """The job is in sync: what it writes to is exact, the chain is as it was.

        If it may have been so `earlier`, what the guest has had allocated in its target meanwhile may not be there yet:
        nothing flushes the target from then on.
        """
        job = self._job()
        if job.kind not in TWO_PHASES:
            raise Impossible(f"a {job.kind} is never ready: it completes")
        held = self.contains(job.target)
        own = tuple(
            held[part] if earlier and part in job.meanwhile else value for part, value in enumerate(job.settled)
        )
        return replace(self.holding(job.target, own), job=replace(job, phase=Phase.READY))

    def completed(self) -> Content:
        """A job of one phase has ended: what it folded is out of the chain; the files of those layers stay."""
        job = self._job()
        if job.kind in TWO_PHASES:
            raise Impossible(f"a {job.kind} does not complete by itself: it is pivoted or aborted")
        ended = self.with_end(End(job.kind, "completed", certain=not job.unheard))
        done = replace(ended.holding(job.target, job.settled), job=None, bitmaps=self._joined(job))
        if job.kind == "pull":
            return done.rebase(job.target, job.base, relative=job.relative)
        chain = self.chain()
        assert job.top is not None
        above = chain[chain.index(job.top) + 1]
        return done.rebase(above, job.target, relative=job.relative)._without(self._deleted(job))

    def pivot(self) -> Content:
        """End a job that is ready by making its target the active file."""
        job = self._job()
        if job.phase is not Phase.READY:
            raise Impossible(f"{job} is not ready")
        done = self.with_end(End(job.kind, "completed")).holding(job.target, job.settled)
        joined = self._joined(job)
        pivoted = replace(done, active=job.target, job=None, unflushed=frozenset(), bitmaps=joined)
        return pivoted._without(self._deleted(job))

    def abort(self) -> Content:
        """End the job and stay with the active file; the target keeps what it holds: in sync, what the guest sees."""
        job = self._job()
        ended = replace(self.with_end(End(job.kind, "canceled")), job=None)
        return ended.holding(job.target, job.settled) if job.phase is Phase.READY else ended

    def failed(self) -> Content:
        """The job fails, and the active file stays what it is; what the job has written is in doubt."""
        job = self._job()
        ended = replace(self.with_end(End(job.kind, "failed")), job=None)
        return ended if job.phase is Phase.RUNNING else ended._in_doubt_of(job)

    def fail_write(self, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> Content:
        """The guest writes, and is told that this has failed: nobody knows what of it is done."""
        parts = self.geometry.parts_of(cells, ranges)
        before, after = self._seen_by_guest(parts), self._put(UNDEFINED, parts)
        doubt = in_doubt(before.contains(self.active), after.contains(self.active), before.guest())
        doubt = _changed(doubt, dict.fromkeys(parts, UNDEFINED))
        return (
            before.holding(self.active, doubt)._mirrored(dict.fromkeys(parts, UNDEFINED))._wrote(parts, certain=False)
        )

    def with_end(self, end: End) -> Content:
        """Self with the end of one more job."""
        return replace(self, ends=(*self.ends, end))

    def unheard(self) -> Content:
        """No daemon runs: of the end of a job that comes now nobody may hear."""
        return self if self.job is None else replace(self, job=replace(self.job, unheard=True))

    def remove(self, name: str) -> Content:
        """Delete a file that is not in use."""
        self.layer(name)
        if name in self.chain() or (self.job is not None and name == self.job.target):
            raise Impossible(f"{name} is in use")
        return self._without((name,))

    def crash(self, *, closed: bool = False) -> Content:
        """QEMU dies; what the guest wrote since its last flush may be there or not, and bitmaps unless it has `closed`.

        The clusters around those parts are undefined: a write that allocates is in the file only when its L2 table is,
        which takes a flush. A job is gone with the process. The guest's flush does not flush the job's target: its
        copied parts may be lost. The guest sees no difference, since the overlays still hold them.
        """
        lost = self.in_memory()
        known = {part: label for part, label in self.acknowledged.items() if part not in lost}
        opened = (self.active,) if self.job is None else (self.active, self.job.target)
        bitmaps = self.bitmaps if closed else bitmap.lost(self.bitmaps, opened)
        done = replace(self.unsettled(), job=None, unflushed=frozenset(), in_flight={}, acknowledged=known)
        done = replace(done, bitmaps=bitmaps)
        job = self.job
        if job is None:
            return done
        done = done.with_end(End(job.kind, "failed", certain=False))
        return done if job.target == self.active else done._in_doubt_of(job)

    def _in_doubt_of(self, job: Job) -> Content:
        """This content, where a job that writes to a file below the active one, or beside it, has been cut off."""
        doubt = in_doubt(job.began, job.settled, self.holding(job.target, job.began).shows(job.target))
        # what the guest has written meanwhile may have been there in any of its versions
        meanwhile = {part: UNDEFINED for part, held in enumerate(self.contains(job.target)) if held is UNDEFINED}
        return self.holding(job.target, _changed(doubt, meanwhile))

    def unsettled(self) -> Content:
        """This content as its files are while QEMU runs: what the guest has not flushed may be in them or not."""
        own = self.layer(self.active).own
        return self.holding(self.active, _changed(own, dict.fromkeys(self.in_memory(), UNDEFINED)))

    def in_memory(self) -> set[int]:
        """The parts of clusters that the guest wrote to, and did not flush: QEMU may have the only copy."""
        unit = self.layer(self.active).format.unit
        return {other for part in self.unflushed for other in self.geometry.unit_around(part, unit)}

    def either(self, other: Content) -> Content:
        """This content or the `other`, which has the same files: UNDEFINED where they differ."""
        held = {
            name: _either(layer, other.layers[name]) if name in other.layers else layer
            for name, layer in self.layers.items()
        }
        perhaps = tuple(replace(end, certain=False) for end in other.ends[len(self.ends) :])
        bitmaps = bitmap.either(self.bitmaps, other.bitmaps)
        unflushed, ends = self.unflushed | other.unflushed, (*self.ends, *perhaps)
        return replace(self, layers=held, unflushed=unflushed, bitmaps=bitmaps, ends=ends)

    # how it is done

    def _absent(self, name: str) -> None:
        if name in self.layers or name == "guest":
            raise Impossible(f"the name {name} is taken")

    def _idle(self, what: str) -> None:
        if self.job is not None:
            raise Impossible(f"{what} cannot begin during {self.job}")

    def _job(self) -> Job:
        if self.job is None:
            raise Impossible("there is no job")
        return self.job

    def _chain_of(self, name: str) -> tuple[str, ...]:
        backing = self.layer(name).backing
        return (name,) if backing is None else (*self._chain_of(backing), name)

    def holding(self, name: str, own: Sequence[Part]) -> Content:
        """Self with other own contents of `name`."""
        return replace(self, layers={**self.layers, name: replace(self.layer(name), own=tuple(own))})

    def _wrote(self, parts: frozenset[int], *, certain: bool = True) -> Content:
        """Self, to whose active file the guest has written; unless it is `certain` that this has come there."""
        marked = bitmap.wrote(self.bitmaps, self.active, parts, self.geometry, certain=certain)
        return replace(self, unflushed=self.unflushed | parts, bitmaps=marked)

    def _put(self, value: Part, parts: frozenset[int]) -> Content:
        values = dict.fromkeys(parts, value)
        own = written(self.layer(self.active), self.guest(), values, self.geometry)
        return self._seen_by_guest(parts).holding(self.active, own)._mirrored(values)._wrote(parts)

    def _seen_by_guest(self, parts: frozenset[int]) -> Content:
        """Self without what was known of `parts` from the guest alone, or was on its way to them: it writes to them.

        The guest waits for a write that it began before it does anything else to the disk.
        """
        if not self.acknowledged and not self.in_flight:
            return self
        known, coming = (_without(parts, labels) for labels in (self.acknowledged, self.in_flight))
        return replace(self, acknowledged=known, in_flight=coming)

    def _mirrored(self, values: Mapping[int, Part], *, allocates: bool = True) -> Content:
        """Self, whose active file has got `values`, with what that means for the job.

        Without `allocates`, nothing but those parts can have changed.
        """
        job = self.job
        if job is None or job.kind == "commit":
            return self
        if job.kind == "pull":
            return replace(self, job=replace(job, settled=self._settled(job)))
        target = self.holding(job.target, job.settled)
        layer, shown = target.layer(job.target), target.shows(job.target)
        settled = _changed(layer.own, values)
        if allocates:
            settled = written(layer, shown, values, self.geometry, by_mirror=True)
        if job.phase is Phase.RUNNING:  # the job may see what the write has copied up, or may have passed there before
            copied = self._source(job)
            settled = tuple(map(_perhaps, settled, copied))
            job = replace(job, meanwhile=job.meanwhile | self._allocating(job, values))
        held = in_doubt(self.contains(job.target), settled, shown)
        marked = replace(self, bitmaps=self._copied(job, values))
        return replace(marked.holding(job.target, held), job=replace(job, settled=settled))

    def _allocating(self, job: Job, values: Mapping[int, Part]) -> frozenset[int]:
        """The parts of clusters that these `values` may allocate in a job's target: else they are written in place."""
        unit, now = self.layer(job.target).format.unit, job.settled
        around = (self.geometry.unit_around(part, unit) for part in values)
        return frozenset(part for parts in around for part in parts if not any(isinstance(now[p], str) for p in parts))

    def _begin(
        self, kind: Kind, target: str, *, top: str | None = None, base: str | None = None, deletes: bool = False
    ) -> Content:
        if top is not None:
            self._above(target, top)
        own = self.contains(target)
        job = Job(kind, target, own, own, top, base, deletes=deletes)
        job = replace(job, settled=self._settled(job))
        doubt = in_doubt(own, job.settled, self.shows(target))
        begun = replace(self.holding(target, doubt), job=job)
        source = self._source(job) if kind != "pull" else ()
        fills = kind == "copy" and base is None  # of a whole chain, the rest may be written as zeros
        copied = self._copied(job, (part for part, value in enumerate(source) if fills or value is not HOLE))
        begun = replace(begun, bitmaps=copied)
        if top is None:
            return begun
        # a base that is smaller than what is committed into it grows before anything is copied (QEMU block/commit.c)
        grown = replace(begun.layer(target), size=max(self.layer(target).size, self.layer(top).size))
        return replace(begun, layers={**begun.layers, target: grown})

    def _copied(self, job: Job, parts: Iterable[int]) -> Bitmaps:
        """The bitmaps when a job copies `parts` to its target: one that the target has may say so.

        What a pull copies is not written by the guest, and is in no bitmap (QEMU block/io.c, copy on read).
        """
        if job.kind == "pull" or not self.bitmaps.get(job.target):
            return self.bitmaps
        unit = mirror_granularity(self.layer(job.target).format)
        copied = {other for part in parts for other in self.geometry.unit_around(part, unit)}
        return bitmap.wrote(self.bitmaps, job.target, copied, self.geometry, certain=False)

    def _joined(self, job: Job) -> Bitmaps:
        """The bitmaps when a job has ended well: its target has those of what it has folded, or copied."""
        below = job.base if job.kind in ("pull", "copy") else job.target
        joined = bitmap.folded(self.bitmaps, self._above(below, job.top or self.active), job.target)
        return bitmap.without(joined, [job.target]) if isinstance(self.layer(job.target).format, Raw) else joined

    def _relatively(self, layers: Sequence[str]) -> Content:
        absolute = [name for name in layers if not self.layer(name).relative]
        if absolute:
            raise Impossible(f"{', '.join(absolute)} names no relative backing file")
        return replace(self, job=replace(self._job(), relative=True))

    def _settled(self, job: Job) -> Parts:
        """What the job's target holds once it has copied all that is there now."""
        source = self._source(job)
        if job.kind == "pull":
            return self._pulled(job, source)
        before = self.holding(job.target, job.began)
        values = {part: value for part, value in enumerate(source) if value is not HOLE}
        layer, by_mirror = before.layer(job.target), job.kind in TWO_PHASES
        return written(layer, before.shows(job.target), values, self.geometry, by_mirror=by_mirror)

    def _pulled(self, job: Job, source: Parts) -> Parts:
        """`source`, and around what is copied up the rest of its clusters: it is copied on read (QEMU block/io.c).

        Where a cluster has subclusters, QEMU 7.2 copies the whole cluster, and QEMU 10.0 the subcluster alone.
        """
        layer, shown = self.layer(job.target), self.shows(job.target)
        copied = {
            (part, is_certain(value))
            for name in self._above(job.base, job.target)[:-1]
            for part, value in enumerate(self.contains(name))
            if value is not HOLE and may_be_hole(job.began[part])
        }
        filled: dict[int, Part] = {}
        for size, certain in ((layer.format.discard_unit, False), (layer.format.unit, True)):
            of_these = {part for part, known in copied if known or not certain}
            for other in {other for part in of_these for other in self.geometry.unit_around(part, size)}:
                value = ZERO if shown[other] is HOLE else shown[other]
                if may_be_hole(source[other]):
                    filled[other] = Perhaps(value) if not certain and isinstance(value, str | Blank) else value
        return _changed(source, filled)

    def _deleted(self, job: Job) -> tuple[str, ...]:
        """The layers whose files libvirt removes when the job has ended well."""
        return self._above(job.target, job.top) if job.deletes and job.top is not None else ()

    def _without(self, names: Sequence[str]) -> Content:
        kept = {name: layer for name, layer in self.layers.items() if name not in names}
        return replace(self, layers=kept, bitmaps=bitmap.without(self.bitmaps, names))

    def _source(self, job: Job) -> Parts:
        """What the layers that the job copies hold, folded into one."""
        below = job.base if job.kind in ("pull", "copy") else job.target
        return union(self.contains(name) for name in self._above(below, job.top or self.active))

    def _above(self, base: str | None, top: str) -> tuple[str, ...]:
        """The names in the active chain above `base` (None: from the lowest on) up to `top`, base first."""
        chain = self.chain()
        names = (top,) if base is None else (base, top)
        for name in names:
            if name not in chain:
                raise Impossible(f"{name} is not in the chain {' <- '.join(chain)}")
        first = 0 if base is None else chain.index(base) + 1
        if first > chain.index(top):
            raise Impossible(f"{base} is not below {top} in the chain {' <- '.join(chain)}")
        return chain[first : chain.index(top) + 1]


def _either(one: Layer, other: Layer) -> Layer:
    had = one.had_memory or other.had_memory
    inside = either_inside(one.inside, other.inside)
    return replace(one, own=either(one.own, other.own), inside=inside, had_memory=had)


def _changed(own: Parts, values: Mapping[int, Part]) -> Parts:
    return tuple(values.get(part, value) for part, value in enumerate(own)) if values else own


def _without(parts: frozenset[int], labels: Mapping[int, str]) -> Mapping[int, str]:
    return {part: label for part, label in labels.items() if part not in parts}


def _perhaps(settled: Part, copied: Part) -> Part:
    return Perhaps(plain(copied)) if settled is HOLE and copied is not HOLE else settled


def _of_bitmap(since: Bitmap, geometry: Geometry, *, certain: bool) -> frozenset[int]:
    return since.parts(since.dirty if certain else since.perhaps, geometry)


def _inherited(form: Qcow2) -> Qcow2:
    """What libvirt makes an image like, on the model of one: of its clusters, without its other options."""
    return Qcow2(form.cluster_size, form.subclusters)


def _fits(form: Format, geometry: Geometry) -> Format:
    """`form`; raises ValueError if what it allocates together is not made of whole parts."""
    if form.unit % geometry.part_size:
        raise ValueError(f"clusters of {form.unit} bytes are no multiple of the part size {geometry.part_size}")
    return form
