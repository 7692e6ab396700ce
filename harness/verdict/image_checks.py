"""The universal checks of the images' metadata: what the headers say, the refcounts, what is allocated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.errors import ImageError
from harness.oracle.image import Nbd
from harness.oracle.parts import HOLE
from harness.oracle.state import Death, Power
from harness.readers.extents import Kind
from harness.verdict.check import DEFINED, OFF, Check, Subject, plugged_in
from harness.verdict.finding import Finding

_OWN, _QEMU_IMG = "chainproof's reader", "qemu-img"

Seen = Mapping[str, Mapping[str, object]]
"""What each witness read, by the name of the image."""


def backing_format(subject: Subject) -> Iterator[Finding]:
    """Read it in the headers, of all images by our own reader, of those of the chain by qemu-img too."""
    content = subject.disk.content
    seen: Seen = {_OWN: _headers(subject, "backing_format"), _QEMU_IMG: _infos(subject, "backing_format")}
    for name, layer in content.layers.items():
        if layer.backing is None:
            continue
        below = content.layers.get(layer.backing)
        true = layer.backing_format if below is None else below.format.name
        claim = f"the header of {name} says that its backing file {layer.backing} is {true}"
        yield from _told(subject, claim, name, true, seen)


def virtual_size(subject: Subject) -> Iterator[Finding]:
    """Read it in the headers, of all images by our own reader, of those of the chain by qemu-img too."""
    reader, disk = subject.trial.reader, subject.disk
    own: dict[str, object] = {image.name: reader.size(image) for image in disk.images() if reader.reads(image)}
    seen: Seen = {_OWN: own, _QEMU_IMG: _infos(subject, "virtual_size")}
    for name, layer in disk.content.layers.items():
        yield from _told(subject, f"{name} is a disk of {layer.size} bytes", name, layer.size, seen)


def size_of_the_device(subject: Subject) -> Iterator[Finding]:
    """Ask libvirt for the disk's capacity, which it reads in the image if the VM is off, and the guest."""
    disk, vm = subject.disk, subject.vm
    capacity, _, _ = vm.domain.call("blockInfo", lambda handle: handle.blockInfo(disk.target))
    expected = disk.content.size
    if capacity != expected:
        yield subject.wrong(f"{disk} has a capacity of {expected} bytes", f"libvirt says {capacity} (domblkinfo)")
    if vm.state.power is not Power.RUNNING:
        return
    size = vm.domain.port.size(disk.target)
    if size != expected:
        yield subject.wrong(f"{disk} has {expected} bytes in the guest", f"it has {size}")


def refcounts(subject: Subject) -> Iterator[Finding]:
    """Count what refers to each cluster by our own reader, and compare with the refcounts in the image."""
    counted = subject.trial.reader.wrong_refcounts(subject.image)
    wrong = [each for each in counted if not (each.is_leak and subject.vm.state.may_leak)]
    if wrong:
        kinds = f"{sum(each.is_leak for each in wrong)} leaks, {sum(not each.is_leak for each in wrong)} others"
        claim = f"each refcount in {subject.image} is how often its cluster is referred to"
        yield subject.wrong(claim, f"{kinds}, by {_OWN}", "\n".join(map(str, wrong[:10])))


def nothing_inside(subject: Subject) -> Iterator[Finding]:
    """Read what is inside besides the disk: snapshots, bitmaps, and a mark that it is in use."""
    header = subject.trial.reader.header(subject.image)
    if header is None:
        return
    yield from _snapshots(subject)
    yield from _bitmaps(subject)
    deaths = subject.vm.state.deaths
    if header.own.is_dirty and (not deaths or deaths[-1] is not Death.KILLED):
        yield subject.wrong(f"{subject.image} is not marked as dirty", "it is: whoever wrote to it did not close it")


def _snapshots(subject: Subject) -> Iterator[Finding]:
    """Compare the snapshots inside the image with those that were made there; what they keep is read with the disk."""
    expected = subject.disk.content.layer(subject.image.name).inside
    certain = {name for name, held in expected.items() if held.certain}
    seen = subject.trial.reader.inside(subject.image)
    if not certain <= seen.keys() <= expected.keys():
        names = ", ".join(certain) or "none"
        yield subject.wrong(f"{subject.image} has the snapshots {names} inside", f"it has {', '.join(seen) or 'none'}")
    memory = sorted(name for name, held in expected.items() if name in seen and seen[name].memory and not held.memory)
    if memory:
        yield subject.wrong(f"{', '.join(memory)} inside {subject.image} are without memory", "they have one")


def _bitmaps(subject: Subject) -> Iterator[Finding]:
    """Compare the bitmaps in the file, as our own reader reads them, with what was written: granule by granule."""
    image = subject.image
    expected = subject.disk.content.bitmaps.get(image.name, {})
    seen = subject.trial.reader.bitmaps(image)
    left = sorted(seen.keys() - expected.keys())
    if left:
        names = ", ".join(expected)
        claim = f"{image} has no bitmaps {f'besides {names}' if names else 'inside'}"
        yield subject.wrong(claim, f"it has {', '.join(left)}")
    for name, bitmap in expected.items():
        found = seen.get(name)
        if found is None or found.in_use:
            if bitmap.kept:
                how = "it is not there" if found is None else "it is marked as in use"
                yield subject.wrong(f"{image} has the bitmap {name}", how)
            continue
        missing, more = bitmap.dirty - found.dirty, found.dirty - bitmap.dirty - bitmap.perhaps
        if missing or more or found.granularity != bitmap.granularity or not found.auto:
            other = f"it lacks {sorted(missing)}, and has {sorted(more)} besides" if missing or more else str(found)
            granules = f"{sorted(bitmap.dirty)}, each of {bitmap.granularity} bytes"
            yield subject.wrong(f"the bitmap {name} of {image} has the granules {granules}", other)
            continue
        subject.trial.readers.proofs.marked(subject.vm.name, subject.disk.target, image.name, name, bitmap)


def encryption(subject: Subject) -> Iterator[Finding]:
    """Open it by our own reader, which tries every secret; what it holds is read with the disk."""
    expected, seen = subject.image.format.secret, subject.trial.reader.secret(subject.image)
    if seen != expected:
        claim = f"{subject.image} is encrypted with the secret {expected}" if expected else "it is not encrypted"
        yield subject.wrong(claim, f"it is encrypted with {seen}" if seen else "it is not")


def holes(subject: Subject) -> Iterator[Finding]:
    """Read by our own reader where the image holds data of its own, though nobody has written there.

    A mark that it reads as zeros is none: a full copy marks what the whole chain does not hold (QEMU block/mirror.c).
    """
    image, content = subject.image, subject.disk.content
    own, size = content.contains(image.name), content.geometry.part_size
    held: list[int] = []
    for extent in subject.trial.reader.own(image):
        if extent.kind is Kind.DATA:
            last = min(-(-(extent.offset + extent.length) // size), content.geometry.parts)
            held += [part for part in range(extent.offset // size, last) if own[part] is HOLE]
    if held:
        where = ", ".join(str(part * size) for part in held[:10])
        claim = f"{image} holds nothing where nothing was written"
        yield subject.wrong(claim, f"{len(held) * size} bytes are allocated, by {_OWN}: at {where}")


def _headers(subject: Subject, field: str) -> dict[str, object]:
    """A field of the images' headers, as our own reader reads them."""
    reader = subject.trial.reader
    headers = {image.name: reader.header(image) for image in subject.disk.images() if reader.reads(image)}
    return {name: getattr(header, field) for name, header in headers.items() if header is not None}


def _infos(subject: Subject, field: str) -> dict[str, object]:
    """A field of what qemu-img says of the images of the chain."""
    named = {subject.disk.name_of(info.store): info for info in subject.sight.infos(subject.disk)}
    return {name: getattr(info, field) for name, info in named.items() if name is not None}


def _told(subject: Subject, claim: str, name: str, expected: object, seen: Seen) -> Iterator[Finding]:
    """A finding if a witness that has looked at the image of this name saw something else than is expected."""
    told = {witness: found[name] for witness, found in seen.items() if name in found}
    if any(value != expected for value in told.values()):
        yield subject.wrong(claim, ", ".join(f"{value or 'nothing'} by {witness}" for witness, value in told.items()))


def _libvirt_can_look(subject: Subject) -> str:
    """libvirt itself opens the image of a VM that is off, and only if it is a path."""
    store = subject.disk.image(subject.disk.content.active).store
    on = subject.vm.state.is_on
    words = "" if on or not isinstance(store, Nbd) else f"libvirt cannot look into {store} while the VM is off"
    return plugged_in(subject) or words


def _has_bookkeeping(subject: Subject) -> str:
    """Of an image that is not closed, the refcounts may be older than the tables."""
    why_not = _is_qcow2(subject)
    if why_not:
        return why_not
    try:
        header = subject.trial.reader.header(subject.image)
    except ImageError:  # the check will say so
        return ""
    is_late = header is not None and header.own.is_dirty
    return f"{subject.image} is marked as dirty: its refcounts may be old" if is_late else ""


def _is_qcow2(subject: Subject) -> str:
    image = subject.image
    if not image.format.has_metadata:
        return f"{image.format.name} has no metadata"
    return _is_file(subject)


def _is_file(subject: Subject) -> str:
    image = subject.image
    return "" if subject.trial.reader.reads(image) else f"{image} is no file: it is {image.store}"


def _holes_are_known(subject: Subject) -> str:
    """Of raw, the file system decides what is allocated together."""
    return "its bytes are the guest's own" if subject.disk.opaque else _is_qcow2(subject)


IMAGE_CHECKS: tuple[Check, ...] = (
    Check(
        "backing format", "O4: headers say the format of the backing file", "disk", DEFINED, backing_format, once=True
    ),
    Check("virtual size", "O2: every image is as large as it should be", "disk", DEFINED, virtual_size, once=True),
    Check(
        "size of the device",
        "O2: so is the disk, to libvirt and to the guest",
        "disk",
        DEFINED,
        size_of_the_device,
        _libvirt_can_look,
    ),
    Check("refcounts", "O5: they are right, by our own count", "image", OFF, refcounts, _has_bookkeeping),
    Check(
        "inside images", "O10: an image has what was made inside it, no more", "image", OFF, nothing_inside, _is_qcow2
    ),
    Check("encryption", "O10: images are encrypted, or not, as they were made", "image", OFF, encryption, _is_file),
    Check("holes", "O13: what nobody wrote to is not allocated", "image", OFF, holes, _holes_are_known),
)
