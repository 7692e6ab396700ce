"""A block says what it is, wherever it turns up."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.oracle.parts import ZERO, Foreign, Shifted, Torn, Written
from harness.oracle.pattern import LINE, decode, fill
from harness.waiting import now

CELL = 65536
RUN = "1a2b3c4d"
OTHER = "99999999"


def test_a_sector_is_one_readable_line_eight_times() -> None:
    sector = fill("D", RUN, 3 * CELL, 512, CELL)

    lines = sector.decode("ascii").splitlines()
    assert lines == ["chainproof D      cell        3 byte         196608 1a2b3c4d   "] * 8


def test_every_sector_names_its_own_byte() -> None:
    data = fill("D", RUN, 0, 3 * CELL, CELL)

    assert len({data[at : at + 512] for at in range(0, len(data), 512)}) == 3 * CELL // 512


@given(
    label=st.from_regex(r"[A-Z][0-9]{0,5}", fullmatch=True),
    run=st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
    sector=st.integers(0, 9 * 10**7),
    sectors=st.integers(1, 64),
    cell=st.sampled_from([512, 4096, 65536, 2 << 20]),
)
def test_what_is_filled_decodes_as_written(label: str, run: str, sector: int, sectors: int, cell: int) -> None:
    data = fill(label, run, sector * 512, sectors * 512, cell)

    assert len(data) == sectors * 512
    assert decode(data, sector * 512, run, cell) == [Written(label)] * sectors


def test_zeros_decode_as_zero() -> None:
    assert decode(bytes(2 * CELL), 0, RUN, CELL) == [ZERO] * 256


def test_a_block_at_another_place_is_shifted_and_says_from_where() -> None:
    data = fill("C", RUN, 5 * CELL, CELL, CELL)

    assert decode(data, 3 * CELL, RUN, CELL, unit=4096)[0] == Shifted("C", 5 * CELL, 5)
    assert decode(data, 3 * CELL, RUN, CELL, unit=4096)[-1] == Shifted("C", 6 * CELL - 4096, 5)


def test_a_shift_by_one_sector_is_seen_in_every_unit() -> None:
    data = fill("C", RUN, 512, CELL, CELL)

    assert all(isinstance(unit, Shifted) for unit in decode(data, 0, RUN, CELL))


def test_a_block_of_another_run_is_foreign_and_names_the_run() -> None:
    (unit,) = decode(fill("B", OTHER, CELL, CELL, CELL), CELL, RUN, CELL, unit=CELL)

    assert unit == Foreign(f"run {OTHER}, layer B, byte {CELL}")


def test_bytes_of_nobody_are_foreign_and_are_shown() -> None:
    (unit,) = decode(b"\x37" * 4096, 0, RUN, CELL, unit=4096)

    assert unit == Foreign("37 " * 15 + "37")


def test_a_sector_of_two_layers_is_torn_at_a_named_line() -> None:
    data = fill("B", RUN, 0, 512, CELL)[: 3 * LINE] + fill("A", RUN, 0, 512, CELL)[3 * LINE :]

    (unit,) = decode(data, 0, RUN, CELL)
    assert unit == Torn(f"lines 0-2 layer B of byte 0, run {RUN}, lines 3-7 layer A of byte 0, run {RUN}")


def test_a_unit_of_two_layers_is_torn_at_a_named_sector() -> None:
    data = fill("B", RUN, 0, 1024, CELL) + bytes(1024) + fill("A", RUN, 4096 + 2048, 2048, CELL)

    (unit,) = decode(data, 0, RUN, CELL, unit=4096)
    assert unit == Torn("sectors 0-1 layer B, sectors 2-3 zero, sectors 4-7 layer A written +4096 bytes away")


@given(at=st.integers(0, 4095), bit=st.integers(0, 7))
def test_one_flipped_bit_is_never_taken_for_the_block(at: int, bit: int) -> None:
    data = bytearray(fill("B", RUN, CELL, 4096, CELL))
    data[at] ^= 1 << bit

    units = decode(bytes(data), CELL, RUN, CELL)
    assert [unit == Written("B") for unit in units] == [i != at // 512 for i in range(8)]


def test_a_line_whose_cell_does_not_fit_its_byte_is_foreign() -> None:
    (unit,) = decode(fill("B", RUN, 0, 512, 512).replace(b"cell        0", b"cell        7"), 0, RUN, CELL)

    assert isinstance(unit, Foreign)
    assert "cell        7" in unit.what


@pytest.mark.parametrize(
    ("label", "run", "offset", "length"),
    [
        ("d", RUN, 0, 512),
        ("", RUN, 0, 512),
        ("D", "1A2B3C4D", 0, 512),
        ("D", RUN, 1, 512),
        ("D", RUN, 0, 511),
        ("D", RUN, CELL * 10**8, 512),
    ],
)
def test_what_cannot_be_decoded_is_not_filled(label: str, run: str, offset: int, length: int) -> None:
    with pytest.raises(ValueError, match=r"no label|no run id|not whole sectors|more digits"):
        fill(label, run, offset, length, CELL)


def test_a_mebibyte_as_expected_is_decoded_faster_than_it_is_hashed() -> None:
    data = fill("A", RUN, 0, 1 << 20, CELL)
    decode(data, 0, RUN, CELL)  # what is made once is made

    decoding = min(_seconds(lambda: decode(data, 0, RUN, CELL)) for _ in range(10))
    hashing = min(_seconds(lambda: sha256(data).digest()) for _ in range(10))
    assert decoding < hashing


def _seconds(what: Callable[[], object]) -> float:
    began = now()
    what()
    return now() - began
