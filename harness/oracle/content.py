"""The oracle: what every layer of a disk holds and shows after each operation. Pure values, no I/O.

A file's own contents are what its clusters hold, a hole where it has none; what it shows is read through its backing
files. The rules are QEMU's: docs/interop/live-block-operations.rst for the jobs, docs/interop/qcow2.rst for reading,
block/qcow2-cluster.c for what a write or a discard does to a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.oracle.geometry import Geometry, Range
from harness.oracle.layer import Layer, Parts, discarded, doubtful, over, union, written
from harness.oracle.parts import HOLE, UNDEFINED, ZERO, Part, check_label
from harness.oracle.table import Row, Table


@dataclass(frozen=True)
class Mirror:
    """A job that is awake and in sync: the guest's writes go to `target` as well as to the active file."""

    target: str
    is_copy: bool


@dataclass(frozen=True)
class Content:
    """A disk at one moment: every image file that still exists, which is active, and the mirror if there is one.

    Each operation returns the disk as it is afterwards, or raises ValueError if it cannot be done now.
    The parts that an operation touches are named as whole `cells` or as `ranges` of bytes, aligned to parts.
    """

    geometry: Geometry
    layers: Mapping[str, Layer]
    active: str
    mirror: Mirror | None = None
    _shown: dict[str, Parts] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def new(cls, base: str, geometry: Geometry | None = None) -> Content:
        """A disk of one empty image."""
        geometry = geometry or Geometry()
        return cls(geometry, {base: Layer((HOLE,) * geometry.parts, None)}, base)

    # what there is

    def contains(self, name: str) -> Parts:
        """The own contents of file `name`, a value per part."""
        return self._layer(name).own

    def shows(self, name: str) -> Parts:
        """What file `name` shows through its backing files, a value per part; HOLE where none of them holds anything.

        Raises ValueError if one of them was removed.
        """
        if name not in self._shown:
            layer = self._layer(name)
            if layer.backing is None:
                self._shown[name] = layer.own
            elif layer.backing not in self.layers:
                raise ValueError(f"{name} cannot be read: its backing file {layer.backing} was removed")
            else:
                self._shown[name] = over(layer.own, self.shows(layer.backing))
        return self._shown[name]

    def readable(self, name: str) -> bool:
        """Whether all backing files of `name` still exist."""
        backing = self._layer(name).backing
        return backing is None or (backing in self.layers and self.readable(backing))

    def guest(self) -> Parts:
        """What the guest sees, a value per part."""
        return self.shows(self.active)

    def chain(self) -> tuple[str, ...]:
        """The names in the active file's backing chain, base first."""
        return self._chain_of(self.active)

    def files(self) -> tuple[str, ...]:
        """The names of all image files that exist, in the order in which they were made."""
        return tuple(self.layers)

    def table(self, *, guest: bool = True) -> Table:
        """All files and, with `guest`, what the guest sees, as rows to print and to hold against what is measured."""
        rows = [
            Row(name, layer.own, self.shows(name) if self.readable(name) else None, layer.backing)
            for name, layer in self.layers.items()
        ]
        if guest:
            rows.append(Row("guest", None, self.guest()))
        return Table(tuple(rows), self.geometry)

    # what the guest does

    def write(self, label: str, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> Content:
        """The guest writes the pattern of `label`."""
        return self._put(check_label(label), self.geometry.parts_of(cells, ranges))

    def zero(self, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> Content:
        """The guest writes zeros: they hide what lies below (a zero cluster, or zeros as data)."""
        return self._put(ZERO, self.geometry.parts_of(cells, ranges))

    def discard(self, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> Content:
        """The guest discards, and the disk passes it on (`discard='unmap'`); the images are qcow2 version 3.

        See `harness.oracle.layer.discarded` for what of it is promised, and `doubtful` for how little while a mirror is
        awake.
        """
        parts = self.geometry.parts_of(cells, ranges)
        layer, shown = self._layer(self.active), self.guest()
        if self.mirror is None:
            return self._holding(self.active, discarded(layer, shown, parts, self.geometry))
        doubt, done = doubtful(layer, shown, parts), self
        for name in self._written_to():
            own = self.contains(name)
            done = done._holding(name, [UNDEFINED if i in doubt else part for i, part in enumerate(own)])
        return done

    # what the host does

    def snapshot(self, overlay: str) -> Content:
        """Make `overlay` the active file, with the present one as its backing file."""
        self._idle("a snapshot")
        self._absent(overlay)
        empty = Layer((HOLE,) * self.geometry.parts, self.active)
        return replace(self, layers={**self.layers, overlay: empty}, active=overlay)

    def commit(self, top: str, base: str) -> Content:
        """Fold the layers above `base` up to `top`, which is not active, into `base`: the new backing of what is above.

        The files of the committed layers stay as they are; what they show changes with `base`.
        """
        self._idle("a commit")
        if top == self.active:
            raise ValueError(f"{top} is the active layer: that takes an active commit")
        chain = self.chain()
        done = self._fold(top, base)
        above = chain[chain.index(top) + 1]
        rebased = replace(done._layer(above), backing=base)
        return replace(done, layers={**done.layers, above: rebased})

    def active_commit_ready(self, base: str) -> Content:
        """An active commit into `base` is in sync: `base` holds all of the layers above, the chain is as it was."""
        self._idle("an active commit")
        return replace(self._fold(self.active, base), mirror=Mirror(base, is_copy=False))

    def copy_ready(self, dest: str, *, shallow: bool = False) -> Content:
        """A copy to the new file `dest` is in sync: of the whole chain, or with `shallow` of the active layer alone."""
        self._idle("a copy")
        self._absent(dest)
        layer = self._layer(self.active) if shallow else Layer(self.guest(), None)
        return replace(self, layers={**self.layers, dest: layer}, mirror=Mirror(dest, is_copy=True))

    def pivot(self) -> Content:
        """End the mirror by making its target the active file."""
        return replace(self, active=self._mirror().target, mirror=None)

    def abort(self) -> Content:
        """End the mirror and stay with the active file; the target keeps what it holds."""
        self._mirror()
        return replace(self, mirror=None)

    def pull(self, base: str | None = None) -> Content:
        """Pull what the layers above `base` (None: all) hold into the active file, whose backing is then `base`."""
        self._idle("a pull")
        chain = self.chain()
        if base is not None and base not in chain[:-1]:
            raise ValueError(f"{base} is not below the active layer {self.active}")
        first = 0 if base is None else chain.index(base) + 1
        pulled = Layer(self._union(chain[first:]), base)
        return replace(self, layers={**self.layers, self.active: pulled})

    def remove(self, name: str) -> Content:
        """Delete a file that is not in use."""
        self._layer(name)
        if name in self.chain() or (self.mirror is not None and name == self.mirror.target):
            raise ValueError(f"{name} is in use")
        return replace(self, layers={other: layer for other, layer in self.layers.items() if other != name})

    def crash(self, cells: Iterable[int] = (), ranges: Iterable[Range] = ()) -> Content:
        """QEMU dies; what the guest wrote to `cells` and `ranges` since its last flush may be there or not.

        The clusters around those are undefined: a write that allocates is in the file only when its L2 table is, which
        takes a flush. A mirror is gone with the process. A flush of the guest does not reach its target, so whatever
        the job wrote there is undefined; the guest loses nothing by it: a commit only changes what the chain covers.
        """
        lost: set[int] = set()
        cells, ranges = tuple(cells), tuple(ranges)
        if cells or ranges:
            for part in self.geometry.parts_of(cells, ranges):
                lost.update(self.geometry.cluster_around(part))
        own = self.contains(self.active)
        done = self._holding(self.active, [UNDEFINED if i in lost else part for i, part in enumerate(own)])
        if self.mirror is None:
            return done
        target = self.mirror.target
        job = done._union((target,) if self.mirror.is_copy else self._above(target, self.active))
        own = self.contains(target)
        doubtful = [held if new is HOLE else UNDEFINED for held, new in zip(own, job, strict=True)]
        return replace(done._holding(target, doubtful), mirror=None)

    # how it is done

    def _layer(self, name: str) -> Layer:
        if name not in self.layers:
            raise ValueError(f"there is no file {name}; there are {', '.join(self.layers)}")
        return self.layers[name]

    def _absent(self, name: str) -> None:
        if name in self.layers or name == "guest":
            raise ValueError(f"the name {name} is taken")

    def _idle(self, what: str) -> None:
        if self.mirror is not None:
            raise ValueError(f"{what} cannot begin while the mirror to {self.mirror.target} is awake")

    def _mirror(self) -> Mirror:
        if self.mirror is None:
            raise ValueError("there is no mirror to pivot or to abort")
        return self.mirror

    def _written_to(self) -> tuple[str, ...]:
        return (self.active,) if self.mirror is None else (self.active, self.mirror.target)

    def _chain_of(self, name: str) -> tuple[str, ...]:
        backing = self._layer(name).backing
        return (name,) if backing is None else (*self._chain_of(backing), name)

    def _holding(self, name: str, own: Sequence[Part]) -> Content:
        """Self with other own contents of `name`."""
        return replace(self, layers={**self.layers, name: replace(self._layer(name), own=tuple(own))})

    def _put(self, value: Part, parts: frozenset[int]) -> Content:
        done = self
        for name in self._written_to():
            done = done._holding(name, written(self.contains(name), self.shows(name), parts, value, self.geometry))
        return done

    def _union(self, names: Sequence[str]) -> Parts:
        return union(self.contains(name) for name in names)

    def _above(self, base: str, top: str) -> tuple[str, ...]:
        """The names in the active chain above `base` up to `top`, base first."""
        chain = self.chain()
        for name in (base, top):
            if name not in chain:
                raise ValueError(f"{name} is not in the chain {' <- '.join(chain)}")
        if chain.index(base) >= chain.index(top):
            raise ValueError(f"{base} is not below {top} in the chain {' <- '.join(chain)}")
        return chain[chain.index(base) + 1 : chain.index(top) + 1]

    def _fold(self, top: str, base: str) -> Content:
        """Self with all that the layers above `base` up to `top` hold in `base`."""
        return self._holding(base, self._union((base, *self._above(base, top))))
