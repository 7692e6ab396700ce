"""The universal checks of QEMU's block layer (O4, O6): which nodes there are, how they run, what hangs on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.oracle.bitmap import Bitmap
from harness.oracle.image import Qcow2, Raw
from harness.storage.stores import UnknownStore, protocol_node, store_printed
from harness.trial.nouns import Disk, Vm
from harness.verdict.check import ON, Check, Subject
from harness.verdict.finding import Finding
from harness.verdict.sight import Json
from harness.vm.domain_view import driver_of
from harness.vm.domain_xml import DiskSpec, attributes

_MASTER_KEY = "masterKey0"
NODES, DEVICES = "query-named-block-nodes", "query-block"
_LIMITS = ("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")
_CACHE: Mapping[str, tuple[bool, bool, bool]] = {
    "none": (True, True, False),
    "writeback": (True, False, False),
    "writethrough": (False, False, False),
    "directsync": (False, True, False),
    "unsafe": (True, False, True),
}
"""A disk's cache mode: its device's write-back cache, O_DIRECT, and whether flushes are ignored (libvirt's docs)."""


def nodes_of_images(subject: Subject) -> Iterator[Finding]:
    """Ask QEMU for its nodes: of each image of a chain one for its format and one for its store, and no others.

    libvirt may do without a node for the format raw (from 10.0 on).
    """
    vm = subject.vm
    seen = [(_owner(vm, node), str(node["drv"]), str(node["node-name"])) for node in subject.sight.qmp(vm, NODES)]
    drivers = [(owner, driver) for owner, driver, _ in seen]
    wanted: set[tuple[str, str]] = set()
    for disk in vm.disks:
        for name in disk.content.chain():
            form, protocol = disk.image(name).format, str(protocol_node(disk.image(name).store)["driver"])
            wanted |= {(name, form.name), (name, protocol)}
            needed = [protocol] if isinstance(form, Raw) else [form.name, protocol]
            for driver in needed:
                if (name, driver) not in drivers:
                    yield subject.wrong(f"QEMU has a node {driver} of {name}", f"it has none ({NODES})")
        wanted |= {(data, driver) for data in disk.data_files() for driver in ("file", "raw")}
    left = [
        f"{node} ({driver} of {owner})"
        for number, (owner, driver, node) in enumerate(seen)
        if (owner, driver) not in wanted or (owner, driver) in drivers[:number]
    ]
    if left:
        yield subject.wrong("QEMU has no node besides those of the chains' images", f"it has {', '.join(left)}")


def options_of_nodes(subject: Subject) -> Iterator[Finding]:
    """Ask QEMU how its nodes run, and its devices: as the definition of the VM says."""
    vm = subject.vm
    nodes, devices, xml = subject.sight.qmp(vm, NODES), subject.sight.qmp(vm, DEVICES), vm.xml()
    for disk, spec in zip(vm.disks, subject.trial.machines.disks(vm.name), strict=True):
        content = disk.content
        in_xml, wanted = driver_of(xml, disk.target), attributes(spec)
        if {name: in_xml.get(name) for name in wanted} != wanted:
            yield subject.wrong(f"the live XML of {disk} has the driver {wanted}", f"it has {in_xml}")
        for node in nodes:
            name = _owner(vm, node)
            if name not in content.chain():
                continue
            what = f"the node {node['node-name']} of {name}"
            yield from _differences(subject, what, _of_node(disk, spec, name, node), node)
        found = [inserted for device in devices if isinstance(inserted := device.get("inserted"), Mapping)]
        active = [inserted for inserted in found if _owner(vm, inserted) == content.active]
        if len(active) != 1:
            claim = f"one device of QEMU's has {content.active} in it"
            yield subject.wrong(claim, f"{len(active)} have ({DEVICES})")
        for inserted in active:
            limits = {**dict.fromkeys(_LIMITS, 0), "iops": vm.state.throttled.get(disk.target, 0)}
            served = {"cache": _cache(spec, of_device=True), "detect_zeroes": _detect_zeroes(spec)}
            expected = {**limits, **served, "ro": False}
            yield from _differences(subject, f"the device of {disk}", expected, inserted)


def nothing_on_nodes(subject: Subject) -> Iterator[Finding]:
    """Ask QEMU for exports, and for bitmaps on its nodes: those of checkpoints alone, each with what was written."""
    exports = [str(export.get("id")) for export in subject.sight.qmp(subject.vm, "query-block-exports")]
    if exports:
        yield subject.wrong("QEMU exports nothing", f"it has {', '.join(exports)} (query-block-exports)")
    expected = {name: found for disk in subject.vm.disks for name, found in disk.content.bitmaps.items()}
    for node in subject.sight.qmp(subject.vm, NODES):
        image = _owner(subject.vm, node)
        known = expected.get(image, {}) if node["drv"] == Qcow2.name else {}
        listed = node.get("dirty-bitmaps")
        seen = {str(each.get("name", "")): each for each in listed} if isinstance(listed, Sequence) else {}
        what = f"the node {node['node-name']} of {image}"
        left = {name: each for name, each in seen.items() if name not in known}
        if left:
            yield subject.wrong(f"{what} has no bitmap{' besides' * bool(known)}", str([*left.values()]))
        for name, bitmap in known.items():
            yield from _bitmap_differences(subject, f"the bitmap {name} of {image}", bitmap, seen.get(name))


def secrets(subject: Subject) -> Iterator[Finding]:
    """Ask QEMU for the secrets that it has: one for each encrypted image of a chain, and libvirt's own key."""
    objects = subject.sight.qmp(subject.vm, "qom-list", path="/objects")
    seen = [str(each["name"]) for each in objects if each["type"] == "child<secret>" and each["name"] != _MASTER_KEY]
    wanted = [name for disk in subject.vm.disks for name in disk.content.chain() if disk.image(name).format.secret]
    if len(seen) != len(wanted):
        claim = f"QEMU has the secrets of the encrypted images {', '.join(wanted) or '(none)'}, and no more"
        yield subject.wrong(claim, f"it has {', '.join(seen) or 'none'} (qom-list)")


def _bitmap_differences(subject: Subject, what: str, bitmap: Bitmap, seen: Json | None) -> Iterator[Finding]:
    """What QEMU says of a bitmap, held to what was written: it records, and counts that exactly."""
    if seen is None or seen.get("inconsistent"):
        if bitmap.kept:
            yield subject.wrong(f"{what} is there", "it is not" if seen is None else f"it is inconsistent: {seen}")
        return
    least = len(bitmap.dirty) * bitmap.granularity
    most = least + len(bitmap.perhaps) * bitmap.granularity
    count = seen.get("count")
    if not isinstance(count, int) or not least <= count <= most:
        counts = f"{least} bytes" if least == most else f"{least} to {most} bytes"
        yield subject.wrong(f"{what} has {counts} that were written", f"it has {count} ({NODES})")
    expected = {"granularity": bitmap.granularity, "recording": True, "busy": False, "persistent": True}
    wrong = [name for name, value in expected.items() if seen.get(name) != value]
    if wrong:
        yield subject.wrong(f"{what} has {_listed(expected, wrong)}", f"it has {_listed(seen, wrong)} ({NODES})")


def _of_node(disk: Disk, spec: DiskSpec, name: str, node: Json) -> Json:
    """What must be true of a node of an image of a disk."""
    expected: dict[str, object] = {**dict.fromkeys(_LIMITS, 0), "cache": _cache(spec), "detect_zeroes": "off"}
    layer = disk.content.layer(name)
    if node["drv"] == layer.format.name:  # whether the store's node can be written to is a matter of QEMU's
        expected["ro"] = name != disk.content.active
        if name == disk.content.active:
            expected["detect_zeroes"] = _detect_zeroes(spec)
        elif spec.driver.detect_zeroes:  # nothing writes to it, so that what it was, when it was active, does no harm
            del expected["detect_zeroes"]
        expected["size"] = layer.size
    return expected


def _detect_zeroes(spec: DiskSpec) -> str:
    return spec.driver.detect_zeroes or "off"


def _cache(spec: DiskSpec, *, of_device: bool = False) -> Mapping[str, bool]:
    writeback, direct, no_flush = _CACHE[spec.driver.cache]
    return {"writeback": writeback or not of_device, "direct": direct, "no-flush": no_flush}


def _differences(subject: Subject, what: str, expected: Json, seen: Json) -> Iterator[Finding]:
    image = seen.get("image")
    seen = {**seen, "size": image.get("virtual-size") if isinstance(image, Mapping) else None}
    wrong = [name for name, value in expected.items() if seen.get(name) != value]
    if wrong:
        yield subject.wrong(
            f"{what} runs with {_listed(expected, wrong)}", f"it runs with {_listed(seen, wrong)} ({subject.vm.name})"
        )


def _listed(values: Json, names: Sequence[str]) -> str:
    return ", ".join(f"{name} {values.get(name)}" for name in names)


def _owner(vm: Vm, node: Json) -> str:
    """The name of the image that a node, or what is in a device, is of; what QEMU calls it if it is of none."""
    text = str(node.get("file") or node.get("node-name"))
    try:
        store = store_printed(text)
    except UnknownStore:
        return text
    return next((name for disk in vm.disks if (name := disk.name_of(store))), text)


NODE_CHECKS: tuple[Check, ...] = (
    Check("block nodes", "O4: QEMU has a node for each image, and no other", "vm", ON, nodes_of_images),
    Check("options of block nodes", "O4: QEMU runs them as the definition says", "vm", ON, options_of_nodes),
    Check("secrets in QEMU", "O4: it has those of the chains' images, and no other", "vm", ON, secrets),
    Check("exports and bitmaps", "O6, O12: nodes have the bitmaps of checkpoints", "vm", ON, nothing_on_nodes),
)
