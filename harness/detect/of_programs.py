"""Saboteurs that have a test of their own: programs of a release with a defect, readers and VMs of another kind."""

from __future__ import annotations

from harness.detect.saboteur import CLAIM, Family, Saboteur

_P = Family.PROGRAM
_TEST = "test_a_program_with_a_defect_is_a_finding_and_no_unusable_machine"
ROWS = (
    Saboteur(
        "a virsh that does not pivot",
        _P,
        "it leaves out --pivot, and prints that it has pivoted",
        (CLAIM,),
        "{'vda': '/export/images/cur.qcow2'} != {'vda': '/export/images/base.qcow2'}",
        elsewhere=_TEST,
    ),
    Saboteur(
        "a virsh that crashes",
        _P,
        "it crashes when it is to commit",
        (CLAIM,),
        "was ended by SIGSEGV: virsh blockcommit",
        elsewhere=_TEST,
    ),
    Saboteur(
        "a libvirtd that crashes",
        _P,
        "it crashes when it is to serve",
        (CLAIM,),
        "it was ended by SIGSEGV",
        elsewhere=_TEST,
    ),
    Saboteur(
        "a QEMU that crashes",
        _P,
        "it crashes at the start of every VM",
        (CLAIM,),
        "was ended by SIGSEGV",
        elsewhere=_TEST,
    ),
    Saboteur(
        "a QEMU that writes elsewhere",
        _P,
        "it opens a copy in the place of base",
        (CLAIM,),
        "base contains: cells 0-3 should be A, is a hole",
        elsewhere="test_a_qemu_that_writes_to_another_file_than_it_was_told",
    ),
    Saboteur(
        "a reader of ours that reads another file",
        Family.TOOL,
        "on a disk with the guest's own files our reader reads one other byte",
        ("readers agree",),
        "they differ at byte",
        elsewhere="test_two_readers_that_do_not_agree_on_an_opaque_disk",
    ),
)
