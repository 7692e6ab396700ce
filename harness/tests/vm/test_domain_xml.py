"""A disk's XML says how it is served, and on which bus."""

from __future__ import annotations

import pytest

from harness.oracle.driver import Driver
from harness.oracle.image import Image
from harness.vm.domain_view import driver_of, with_driver
from harness.vm.domain_xml import DiskSpec, attributes, bus, disk_xml

SERVED = Driver("writeback", io="threads", discard="ignore", detect_zeroes="on", queues=4, iothread=True)


def _xml(disk: DiskSpec) -> str:
    return f"<domain><devices>{disk_xml(disk)}</devices></domain>"


def test_what_is_said_of_a_driver_is_in_its_xml() -> None:
    disk = DiskSpec("vdb", Image("base"), SERVED)

    assert driver_of(_xml(disk), "vdb").items() >= attributes(disk).items()
    assert attributes(disk)["iothread"] == "2"
    assert attributes(DiskSpec("vda", Image("base"))) == {"cache": "none", "discard": "unmap"}


def test_attributes_are_changed_or_left_out() -> None:
    disk = DiskSpec("vda", Image("base"), SERVED)

    changed = driver_of(with_driver(_xml(disk), "vda", {"io": "", "discard": "unmap"}), "vda")
    assert "io" not in changed
    assert (changed["discard"], changed["cache"]) == ("unmap", "writeback")


def _disk(target: str, named: str = "") -> DiskSpec:
    return DiskSpec(target, Image("base"), Driver(bus=named))


def test_the_bus_follows_from_what_the_disk_is_called() -> None:
    assert (bus(_disk("vda")), bus(_disk("sdb"))) == ("virtio", "scsi")
    assert (bus(_disk("sda", "sata")), bus(_disk("sda", "usb"))) == ("sata", "usb")
    for wrong in (_disk("hda"), _disk("vda", "sata")):
        with pytest.raises(ValueError, match=f"can be called {wrong.target}: vdX are on virtio, sdX on others"):
            bus(wrong)
