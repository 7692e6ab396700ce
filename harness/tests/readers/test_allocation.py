from __future__ import annotations

from harness.tests.readers.allocation import allocated_ranges, split

# qemu-io 5.2 over an image that holds data at 0, zeros at 128 KiB and nothing else
PRINTED = """\
64 KiB (0x10000) bytes     allocated at offset 0 bytes (0x0)
64 KiB (0x10000) bytes not allocated at offset 64 KiB (0x10000)
64 KiB (0x10000) bytes     allocated at offset 128 KiB (0x20000)
832 KiB (0xd0000) bytes not allocated at offset 192 KiB (0x30000)
"""


def test_zeros_that_an_image_holds_are_told_from_what_it_does_not_hold() -> None:
    ranges = allocated_ranges(PRINTED)

    assert ranges == [(0, 65536), (131072, 65536)]
    assert list(split(65536, 983040, ranges)) == [
        (65536, 65536, False),
        (131072, 65536, True),
        (196608, 851968, False),
    ]


def test_a_stretch_within_one_range_stays_whole() -> None:
    assert list(split(10, 5, [(0, 100)])) == [(10, 5, True)]
    assert list(split(10, 5, [(0, 10), (15, 5)])) == [(10, 5, False)]
