from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from harness.oracle.image import File, Image
from harness.vm.domain_view import has_only_image, is_terminated, with_source

BASE = "<source file='/base'/>"
LAYER = "<backingStore type='file' index='1'><format type='qcow2'/><source file='/base'/>{}</backingStore>"
MIRROR = "<mirror type='file' job='active-commit'><source file='/m'><backingStore/></source></mirror>"


def domain(chain: str) -> str:
    other = f"<disk>{BASE}<backingStore/><target dev='vdb'/></disk>"
    return f"<domain><devices>{other}<disk>{chain}<target dev='vda'/></disk></devices></domain>"


@pytest.mark.parametrize(
    ("chain", "ended"),
    [
        (f"{BASE}<backingStore/>", True),
        (f"{BASE}{LAYER.format('<backingStore/>')}", True),
        (BASE, False),
        (f"{BASE}{LAYER.format('')}", False),
        (f"{BASE}<backingStore type='file'/>", False),
        (f"{BASE}{MIRROR}", False),
    ],
)
def test_a_chain_is_ended_by_an_empty_backing_store_of_its_own(chain: str, ended: bool) -> None:
    assert is_terminated(domain(chain), "vda") is ended


def test_a_chain_that_is_ended_is_of_that_image_alone_and_not_of_what_it_lies_on_by_now() -> None:
    image = Image("base", store=File(PurePosixPath("/base")))
    open_ended, ended = (
        domain(f"{BASE}{end}").replace("<disk>", "<disk type='file'>") for end in ("", "<backingStore/>")
    )

    assert has_only_image(open_ended, "vda", image)
    assert not has_only_image(ended, "vda", image)
    assert has_only_image(with_source(ended, "vda", image), "vda", image)
