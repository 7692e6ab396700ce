from __future__ import annotations

import pytest

from harness.report.observation import first_observation

CONTENT = """\
scenarios/x.py:9: in test_x
    trial.verify("T0")
E   harness.errors.CheckFailed: claimed:  the disk's content at T0 is as the oracle says
E   seen:     otherwise, by QEMU over NBD
E                   contains      shows
E   base  expected  AAAA--------  AAAA--------
E         seen      ------------  ------------
E                   ^^^^          ^^^^
E   base contains: cells 0-3 should be A, is a hole
E   sn1 contains: cells 1-4 should be B, is a hole
"""
CHECKS = """\
E           harness.errors.CheckFailed: claimed:  all 13 universal checks of the running VM hold
E           seen:     2 of them fail
E           no job left:
E           claimed:  no block job is left
E           seen:     libvirt has {'type': 4}
E           events in order:
E           claimed:  every job has its terminal event
E           seen:     ready
"""
CHAIN = """\
E   harness.errors.CheckFailed: claimed:  all 13 universal checks of the running VM hold
E   seen:     1 of them fail
E   chain in QEMU:
E   claimed:  QEMU has base open
E   seen:     it has base, sn1
E   still there: sn1
"""
ASSERTION = """\
E   AssertionError: assert {'vda': '/exp...es/cur.qcow2'} == {'vda': '/exp...s/base.qcow2'}
E
E     Differing items:
E     {'vda': '/export/images/cur.qcow2'} != {'vda': '/export/images/base.qcow2'}
"""
ALL = {
    CONTENT: "the disk's content at T0 is as the oracle says - but: otherwise, by QEMU over NBD; "
    "base contains: cells 0-3 should be A, is a hole",
    CHECKS: "no job left: no block job is left - but: libvirt has {'type': 4}",
    CHAIN: "chain in QEMU: QEMU has base open - but: it has base, sn1; still there: sn1",
    ASSERTION: "AssertionError: assert {'vda': '/exp...es/cur.qcow2'} == {'vda': '/exp...s/base.qcow2'}; "
    "{'vda': '/export/images/cur.qcow2'} != {'vda': '/export/images/base.qcow2'}",
    "E   harness.errors.WaitTimeout: waited 2 s for it\nE   more": "WaitTimeout: waited 2 s for it",
    "E   libvirt.libvirtError: internal error": "libvirt.libvirtError: internal error",
    "no daemon\nits log": "no daemon",
    "[gw1] linux -- Python 3.11\nno mirror": "no mirror",
    "": "",
}


@pytest.mark.parametrize(("text", "said"), ALL.items(), ids=[said[:12] for said in ALL.values()])
def test_a_failure_in_a_line_says_what_was_seen_first(text: str, said: str) -> None:
    assert first_observation(text) == said
