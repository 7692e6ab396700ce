"""A chain reads aloud, and says how it differs from another."""

import pytest

from harness.oracle.chain import Chain

WHOLE = Chain.named("base", "sn1", "sn2", "cur")


def test_a_chain_prints_base_first() -> None:
    assert str(WHOLE) == repr(WHOLE) == "base <- sn1 <- sn2 <- cur"
    assert (WHOLE.base, WHOLE.active, len(WHOLE), list(WHOLE)) == ("base", "cur", 4, ["base", "sn1", "sn2", "cur"])


def test_chains_are_values() -> None:
    assert Chain.named("base").with_overlay("sn1") == Chain.named("base", "sn1")
    assert WHOLE.up_to("sn1") == Chain.named("base", "sn1")
    assert Chain.named("base", "sn1") != Chain.named("sn1", "base")
    assert "sn1" in WHOLE
    assert "sn1" not in Chain.named("base")


def test_a_difference_names_the_images_that_should_be_gone_or_are_missing() -> None:
    assert WHOLE.difference(Chain.named("base")) == (
        "chain is  base <- sn1 <- sn2 <- cur\nexpected  base\nstill there: sn1, sn2, cur"
    )
    assert Chain.named("base", "cur").difference(WHOLE).endswith("missing: sn1, sn2")
    assert (
        Chain.named("sn1", "base").difference(Chain.named("base", "sn1")).endswith("the same images in another order")
    )
    assert WHOLE.difference(WHOLE) == ""


def test_what_is_no_chain_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a chain has one image at least$"):
        Chain.named()
    with pytest.raises(ValueError, match="twice in the chain base <- base"):
        Chain.named("base", "base")
    with pytest.raises(ValueError, match="cur is not in the chain base"):
        Chain.named("base").up_to("cur")
