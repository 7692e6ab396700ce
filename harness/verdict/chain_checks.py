"""The universal checks of the chain (O4, O9): wherever it is written, it is the one that the oracle expects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from harness.oracle.chain import Chain
from harness.oracle.image import Nbd
from harness.storage.formats import header_options
from harness.storage.stores import file_name, printed, store_printed
from harness.trial.nouns import Disk
from harness.verdict.check import DEFINED, ON, Check, Subject, plugged_in
from harness.verdict.finding import Finding
from harness.vm.domain_view import is_terminated, targets


def disks(subject: Subject) -> Iterator[Finding]:
    """Read which disks the running VM has, and which its definition."""
    vm = subject.vm
    expected = sorted(vm.state.disks)
    looks = {"it has": vm.xml()} if vm.state.is_on else {}
    if vm.state.persistent:
        looks["its definition has"] = vm.xml(inactive=True)
    for who, xml in looks.items():
        seen = sorted(targets(xml))
        if seen != expected:
            wanted, found = (", ".join(names) or "none" for names in (expected, seen))
            yield subject.wrong(f"{vm.name} has the disks {wanted}", f"{who} {found}")


def chain_in_live_xml(subject: Subject) -> Iterator[Finding]:
    """Read the running domain's XML."""
    yield from _same_chain(subject, subject.disk.chain(), "the live XML")


def end_of_chain_in_live_xml(subject: Subject) -> Iterator[Finding]:
    """Look for the terminator, an empty <backingStore/>."""
    if not is_terminated(subject.vm.xml(), subject.disk.target):
        yield subject.wrong("the live XML ends the chain with <backingStore/>", "it leaves the end open")


def _looked_into(subject: Subject) -> str:
    """libvirt looks for the end of a chain in files: a server's image need not be the last one, for all it knows."""
    lowest = subject.disk.image(subject.disk.content.chain()[0]).store
    return plugged_in(subject) or (f"libvirt does not look into {lowest}" if isinstance(lowest, Nbd) else "")


def chain_in_definition(subject: Subject) -> Iterator[Finding]:
    """Read the persistent definition: it names the active layer, and as many below it as it likes.

    Where it does not name all of them it leaves the end of the chain open: libvirt looks for the rest.
    """
    disk = subject.disk
    expected, seen = disk.expected_chain(), disk.configured_chain()
    is_part = len(seen) < len(expected)
    is_cut_off = is_part and is_terminated(subject.vm.xml(inactive=True), disk.target)
    if seen.names != expected.names[len(expected) - len(seen) :] or is_cut_off:
        yield from _same_chain(subject, seen, "the persistent definition")


def _persistent(subject: Subject) -> str:
    return plugged_in(subject) or ("" if subject.vm.state.persistent else f"{subject.vm.name} is transient")


def chain_in_qemu(subject: Subject) -> Iterator[Finding]:
    """Ask QEMU for its nodes: one for each image of the chains of the VM's disks, and for no other."""
    nodes = subject.sight.qmp(subject.vm, "query-named-block-nodes")
    files = {str(node["file"]) for node in nodes if node.get("file")}
    disks = subject.vm.disks
    seen = {_name(disks, file) for file in files}
    expected = {name for disk in disks for name in (*disk.content.chain(), *disk.data_files())}
    if seen != expected:
        opened, wanted = (", ".join(sorted(names)) or "nothing" for names in (seen, expected))
        yield subject.wrong(f"QEMU has {wanted} open", f"it has {opened} (query-named-block-nodes)")


def _name(disks: Sequence[Disk], file: str) -> str:
    """The name of the image that QEMU calls `file`; that itself if none of the disks has it."""
    return next((name for disk in disks if (name := disk.name_of(store_printed(file)))), file)


def chain_in_headers(subject: Subject) -> Iterator[Finding]:
    """Read the images' own headers, by qemu-img: the chain, and the options that they were made with."""
    disk = subject.disk
    infos = subject.sight.infos(disk)
    seen = disk.named(info.store for info in reversed(infos))
    yield from _same_chain(subject, seen, "the image headers (qemu-img info --backing-chain)")
    for info in infos:
        name = disk.name_of(info.store)
        if name is None:
            continue
        below, relative = disk.content.layer(name).backing, disk.content.layer(name).relative
        beside = below and PurePosixPath(file_name(disk.image(below).store)).name
        if below and (info.backing_text == beside) is not relative:
            wanted = f"as {beside}, relatively" if relative else "by a path of its own"
            yield subject.wrong(f"{name} names its backing file {wanted}", f"it names it as {info.backing_text}")
        for option, value in header_options(disk.image(name).format).items():
            if info.options.get(option, value) != value:
                yield subject.wrong(f"{name} has {option} {value}", f"it has {info.options[option]}")


def chain_in_domblklist(subject: Subject) -> Iterator[Finding]:
    """Read what virsh domblklist prints: the active layer."""
    disk = subject.disk
    text = subject.trial.daemon.virsh("domblklist", subject.vm.name).check().stdout
    active = disk.expected_chain().active
    found = re.search(rf"^ *{disk.target} +(\S.*?) *$", text, re.MULTILINE)
    store = disk.image(active).store
    shown = found is not None and found.group(1)
    if shown != store.export if isinstance(store, Nbd) else not shown or disk.name_of(store_printed(shown)) != active:
        yield subject.wrong(f"domblklist shows {printed(store)}", text.strip())


def _printable(subject: Subject) -> str:
    active = printed(subject.disk.image(subject.disk.expected_chain().active).store)
    words = "" if active.isascii() else r"virsh prints letters beyond ASCII as \xff, in the locale that every tree has"
    return plugged_in(subject) or words


def _same_chain(subject: Subject, seen: Chain, where: str) -> Iterator[Finding]:
    expected = subject.disk.expected_chain()
    if seen != expected:
        yield subject.wrong(f"the chain in {where} is {expected}", str(seen), seen.difference(expected))


CHAIN_CHECKS: tuple[Check, ...] = (
    Check("disks", "O4: the VM has its disks, now and in its definition, and no other", "vm", DEFINED, disks),
    Check("chain in the live XML", "O4: the live XML has the chain", "disk", ON, chain_in_live_xml),
    Check(
        "end of the chain in the live XML",
        "O4: the chain ends there",
        "disk",
        ON,
        end_of_chain_in_live_xml,
        _looked_into,
    ),
    Check(
        "chain in the persistent definition",
        "O4, O9: so has the definition",
        "disk",
        DEFINED,
        chain_in_definition,
        _persistent,
    ),
    Check("chain in QEMU", "O4: QEMU has these images open, and no other", "vm", ON, chain_in_qemu),
    Check("chain in the image headers", "O4: so have the headers", "disk", DEFINED, chain_in_headers, once=True),
    Check(
        "chain in domblklist",
        "O4: virsh shows the active layer",
        "disk",
        DEFINED,
        chain_in_domblklist,
        _printable,
        once=True,
    ),
)
