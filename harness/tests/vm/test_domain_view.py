from __future__ import annotations

import pytest

from harness.vm.domain_view import is_terminated

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
