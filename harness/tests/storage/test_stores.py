"""Stores are spelt as QEMU and libvirt read them, and what they print is read back."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import pytest

from harness.oracle.image import Block, File, Fuse, Nbd, Store
from harness.storage.sources import disk_type, source_element, store_in
from harness.storage.stores import (
    UnknownStore,
    file_name,
    path_of,
    place,
    printed,
    protocol_node,
    same_place,
    store_named,
    store_printed,
)
from harness.tests.oracle.tools import needs_qemu_img, qemu_img

CUR = PurePosixPath("/images/cur.qcow2")
ODD = "ba se:1,ü&?=%41.raw"
STORES: tuple[Store, ...] = (
    File(PurePosixPath("/images/base.qcow2")),
    File(PurePosixPath("/images") / ODD),
    Block(PurePosixPath("/dev/loop7")),
    Nbd(PurePosixPath("/run/a b.socket"), "base"),
    Nbd(PurePosixPath("/run/nbd"), "ex/p ort?é&=1%41"),
    Fuse(PurePosixPath("/images/exported")),
)


@pytest.mark.parametrize("store", STORES, ids=str)
def test_what_qemu_prints_of_a_store_and_what_a_header_names_lead_back_to_it(store: Store) -> None:
    assert same_place(store_printed(printed(store)), store)
    assert same_place(store_named(file_name(store), CUR), store)
    assert store_printed(f"json:{json.dumps({'driver': 'raw', 'file': protocol_node(store)})}") == (
        File(store.path) if isinstance(store, Fuse) else store
    )


@pytest.mark.parametrize("store", STORES, ids=str)
def test_libvirts_source_leads_back_to_the_store(store: Store) -> None:
    disk = ElementTree.Element("disk", {"type": disk_type(store)})
    disk.append(source_element(store))
    read = ElementTree.fromstring(ElementTree.tostring(disk))

    assert store_in(read) == (File(store.path) if isinstance(store, Fuse) else store)


def test_only_the_kind_of_store_and_the_lock_make_a_node() -> None:
    assert protocol_node(File(CUR)) == {"driver": "file", "filename": "/images/cur.qcow2"}
    assert protocol_node(Fuse(CUR), locking=False) == {
        "driver": "file",
        "filename": "/images/cur.qcow2",
        "locking": "off",
    }
    assert protocol_node(Block(PurePosixPath("/dev/x")), locking=False) == {
        "driver": "host_device",
        "filename": "/dev/x",
        "locking": "off",
    }
    assert protocol_node(Nbd(PurePosixPath("/s"), "e"), locking=False) == {
        "driver": "nbd",
        "server": {"type": "unix", "path": "/s"},
        "export": "e",
    }


@pytest.mark.parametrize(
    ("text", "store"),
    [
        ("base.qcow2", File(PurePosixPath("/images/base.qcow2"))),
        ("./a:b", File(PurePosixPath("/images/a:b"))),
        ("../x/base", File(PurePosixPath("/images/../x/base"))),
        ("file:base.qcow2", File(PurePosixPath("/images/base.qcow2"))),
        ("/a:b,c", File(PurePosixPath("/a:b,c"))),
        ("nbd+unix:///a%20b?socket=/run/s%3F", Nbd(PurePosixPath("/run/s?"), "a b")),
        ("nbd:unix:/run/s:exportname=e", Nbd(PurePosixPath("/run/s"), "e")),
        ("nbd:unix:/run/s", Nbd(PurePosixPath("/run/s"), "")),
        (
            'json:{"driver":"qcow2","file.driver":"host_device","file.filename":"/dev/x"}',
            Block(PurePosixPath("/dev/x")),
        ),
        ('json:{"file":{"driver":"file","filename":"/y"}}', File(PurePosixPath("/y"))),
        ('json:{"driver":"nbd","path":"/run/s","export":"e"}', Nbd(PurePosixPath("/run/s"), "e")),
        ('json:{"driver":"nbd","server.type":"unix","server.path":"/s"}', Nbd(PurePosixPath("/s"), "")),
    ],
)
def test_a_name_in_a_header_is_a_store(text: str, store: Store) -> None:
    assert store_named(text, CUR) == store


@pytest.mark.parametrize(
    "text",
    ["", "https://host/x", "rbd:pool/x", "json:{", "json:[]", 'json:{"driver":"curl","url":"x"}', "nbd://host/e"],
)
def test_a_name_that_is_no_known_store_is_refused(text: str) -> None:
    with pytest.raises(UnknownStore, match=r"the header of /images/cur.qcow2 names a store that is not known"):
        store_named(text, CUR)


@pytest.mark.parametrize(
    "xml",
    [
        "<disk type='file'/>",
        "<disk type='file'><source/></disk>",
        "<disk type='file'><source dev='/dev/x'/></disk>",
        "<disk type='volume'><source pool='p' volume='v'/></disk>",
        "<disk type='network'><source protocol='nbd' name='e'/></disk>",
        "<disk type='network'><source protocol='nbd' name='e'><host name='h' port='1'/></source></disk>",
        "<disk type='network'><source protocol='rbd' name='e'><host transport='unix' socket='s'/></source></disk>",
        "<disk><source file='/x'/></disk>",
    ],
)
def test_a_source_that_is_no_known_store_is_refused_with_its_xml(xml: str) -> None:
    with pytest.raises(UnknownStore, match=r"the <disk> names a store that is not known: <disk"):
        store_in(ElementTree.fromstring(xml))


def test_a_reader_of_ours_opens_all_but_nbd() -> None:
    assert path_of(Block(CUR)) == path_of(Fuse(CUR)) == path_of(File(CUR)) == CUR
    assert path_of(Nbd(CUR, "e")) is None


def test_places_differ_by_path_and_by_export() -> None:
    assert place(File(CUR)) == place(Block(CUR)) == place(Fuse(CUR))
    assert not same_place(File(CUR), File(PurePosixPath("/other")))
    assert not same_place(Nbd(CUR, "a"), Nbd(CUR, "b"))
    assert not same_place(Nbd(CUR, ""), File(CUR))


@needs_qemu_img
def test_qemu_img_takes_the_file_name_and_prints_the_printed_one(tmp_path: Path) -> None:
    store = File(PurePosixPath(tmp_path / ODD))
    qemu_img("create", "-q", "-f", "raw", file_name(store), "1M")

    info = json.loads(qemu_img("info", "--output=json", "-f", "raw", file_name(store)))
    assert info["filename"] == printed(store)
    spec = f"json:{json.dumps({'driver': 'raw', 'file': protocol_node(store, locking=False)})}"
    assert store_printed(json.loads(qemu_img("info", "--output=json", spec))["filename"]) == store
