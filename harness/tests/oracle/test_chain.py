"""A chain reads aloud, and says how it differs from another."""

from pathlib import PurePosixPath

import pytest

from harness.oracle.chain import Chain, Image

BASE, SN1, SN2, CUR = (Image.at(f"/disks/{name}.qcow2") for name in ("base", "sn1", "sn2", "cur"))
WHOLE = Chain.of(BASE, SN1, SN2, CUR)


def test_an_image_is_named_after_its_file() -> None:
    assert Image("base", PurePosixPath("/disks/base.qcow2")) == BASE
    assert str(Image.at("/disks/vm1.snap1.qcow2")) == "vm1.snap1"


def test_a_chain_prints_base_first() -> None:
    assert str(WHOLE) == repr(WHOLE) == "base <- sn1 <- sn2 <- cur"
    assert (WHOLE.base, WHOLE.active, len(WHOLE), list(WHOLE)) == (BASE, CUR, 4, [BASE, SN1, SN2, CUR])


def test_chains_are_values() -> None:
    assert Chain.of(BASE).with_overlay(SN1) == Chain.of(BASE, SN1)
    assert WHOLE.without(SN1, SN2) == Chain.of(BASE, CUR)
    assert WHOLE.up_to(SN1) == Chain.of(BASE, SN1)
    assert WHOLE.above(SN1) == (SN2, CUR)
    assert Chain.of(BASE, SN1) != Chain.of(SN1, BASE)
    assert SN1 in WHOLE
    assert SN1 not in Chain.of(BASE)


def test_a_difference_names_the_files_that_should_be_gone_or_are_missing() -> None:
    assert WHOLE.difference(Chain.of(BASE)) == (
        "chain is  base <- sn1 <- sn2 <- cur\nexpected  base\nstill there: sn1.qcow2, sn2.qcow2, cur.qcow2"
    )
    assert Chain.of(BASE, CUR).difference(WHOLE).endswith("missing: sn1.qcow2, sn2.qcow2")
    assert Chain.of(SN1, BASE).difference(Chain.of(BASE, SN1)).endswith("the same images in another order")
    assert WHOLE.difference(WHOLE) == ""


def test_two_images_of_one_name_at_different_paths_are_different_chains() -> None:
    other = Image.at("/elsewhere/base.qcow2")

    assert Chain.of(BASE) != Chain.of(other)


def test_what_is_no_chain_is_refused() -> None:
    with pytest.raises(ValueError, match="one image at least"):
        Chain.of()
    with pytest.raises(ValueError, match="twice in the chain base <- base"):
        Chain.of(BASE, BASE)
    with pytest.raises(ValueError, match="cur is not in the chain base"):
        Chain.of(BASE).without(CUR)
    with pytest.raises(ValueError, match="one image at least"):
        Chain.of(BASE).without(BASE)
