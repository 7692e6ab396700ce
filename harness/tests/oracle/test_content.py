"""The oracle says what the documented procedure says, and obeys the laws of layers."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.oracle.content import Content
from harness.oracle.geometry import Geometry
from harness.oracle.parts import HOLE, UNDEFINED, ZERO
from harness.tests.oracle.disks import SMALL, disks, done, guest_acts, seed_at_t0

T0 = """\
image  contains      shows
base   AAAA--------  AAAA--------
sn1    --BBBB------  AABBBB------
sn2    -----CCCC---  AABBBCCCC---
cur    D-------DD--  DABBBCCCDD--
guest                DABBBCCCDD--"""

T1 = """\
image  contains      shows
base   DABBBCCCDD--  DABBBCCCDD--
sn1    --BBBB------  DABBBBCCDD--
sn2    -----CCCC---  DABBBCCCCD--
cur    D-------DD--  DABBBCCCDD--
guest                DABBBCCCDD--"""

T2 = """\
image  contains      shows
base   EABBBCCCDDE-  EABBBCCCDDE-
sn1    --BBBB------  EABBBBCCDDE-
sn2    -----CCCC---  EABBBCCCCDE-
cur    D-------DD--  DABBBCCCDDE-
guest                EABBBCCCDDE-"""


def test_the_documented_procedure_gives_the_documented_tables() -> None:
    disk = seed_at_t0()
    assert str(disk.table()) == T0
    assert disk.chain() == ("base", "sn1", "sn2", "cur")

    disk = disk.active_commit_ready("base")
    assert str(disk.table()) == T1
    assert disk.chain() == ("base", "sn1", "sn2", "cur")

    disk = disk.pivot()
    assert str(disk.table()) == T1
    assert disk.chain() == ("base",)
    assert disk.files() == ("base", "sn1", "sn2", "cur")

    assert str(disk.write("E", (0, 10)).table()) == T2


def test_a_write_while_in_sync_is_in_the_active_layer_and_in_the_target() -> None:
    disk = seed_at_t0().active_commit_ready("base").write("E", (0, 10))

    table = disk.table()
    assert [table.drawn(disk.contains(name)) for name in disk.files()] == [
        "EABBBCCCDDE-",
        "--BBBB------",
        "-----CCCC---",
        "E-------DDE-",
    ]
    assert disk.abort().chain() == ("base", "sn1", "sn2", "cur")
    assert disk.abort().guest() == disk.pivot().guest() == disk.guest()


def test_a_commit_in_mid_chain_moves_the_committed_layers_down_and_leaves_their_files() -> None:
    disk = seed_at_t0().commit("sn2", "sn1")

    assert disk.chain() == ("base", "sn1", "cur")
    assert str(disk.table()) == (
        "image  contains      shows\n"
        "base   AAAA--------  AAAA--------\n"
        "sn1    --BBBCCCC---  AABBBCCCC---\n"
        "sn2    -----CCCC---  AABBBCCCC---\n"
        "cur    D-------DD--  DABBBCCCDD--\n"
        "guest                DABBBCCCDD--"
    )


def test_a_pull_moves_the_layers_between_up_and_leaves_their_files() -> None:
    disk = seed_at_t0().pull("base")

    assert disk.chain() == ("base", "cur")
    table = disk.table()
    assert table.drawn(disk.contains("cur")) == "D-BBBCCCDD--"
    assert table.drawn(disk.contains("sn2")) == "-----CCCC---"
    assert table.drawn(seed_at_t0().pull().contains("cur")) == "DABBBCCCDD--"


def test_a_full_copy_stands_alone_and_a_shallow_one_on_the_same_backing_file() -> None:
    full = seed_at_t0().copy_ready("copy").pivot()
    shallow = seed_at_t0().copy_ready("copy", shallow=True).pivot()

    assert full.chain() == ("copy",)
    assert shallow.chain() == ("base", "sn1", "sn2", "copy")
    assert shallow.contains("copy") == seed_at_t0().contains("cur")
    assert full.guest() == shallow.guest() == seed_at_t0().guest()


def test_a_write_to_part_of_a_hole_copies_the_rest_of_the_cluster() -> None:
    disk = Content.new("base", SMALL).write("A", (0,)).snapshot("cur").write("B", ranges=[(4096, 8192)])

    assert disk.contains("cur")[:5] == ("A", "B", "B", "A", HOLE)
    assert disk.contains("base")[:5] == ("A", "A", "A", "A", HOLE)


def test_a_write_to_part_of_a_hole_over_nothing_fills_the_cluster_with_zeros() -> None:
    disk = Content.new("base", SMALL).write("A", ranges=[(0, 4096)])

    assert disk.contains("base")[:3] == ("A", ZERO, HOLE)


def test_zeros_hide_what_lies_below_and_are_committed() -> None:
    disk = seed_at_t0().zero((1,))

    assert disk.table().drawn(disk.guest()) == "D0BBBCCCDD--"
    assert disk.active_commit_ready("base").pivot().contains("base")[16] is ZERO


def test_a_discarded_cluster_reads_as_zeros_even_over_a_backing_file() -> None:
    disk = seed_at_t0().discard((0, 1, 11))

    assert disk.table().drawn(disk.contains("cur")) == "00------DD-0"
    assert disk.table().drawn(Content.new("base").write("A", (0,)).discard((0, 1)).guest()) == "0-----------"


def test_of_a_partly_discarded_cluster_nothing_is_promised_unless_it_was_zero() -> None:
    disk = Content.new("base", SMALL).write("A", (0,)).zero((1,)).discard(ranges=[(4096, 4096), (16384, 4096)])

    assert disk.guest()[:5] == ("A", UNDEFINED, "A", "A", ZERO)


def test_while_a_mirror_is_awake_a_discard_promises_nothing() -> None:
    """QEMU 7.2 drops it; one that does not may be right too."""
    disk = seed_at_t0().active_commit_ready("base").discard((0, 1, 11))

    table = disk.table()
    assert table.drawn(disk.contains("cur")) == "??------DD-?"
    assert table.drawn(disk.contains("base")) == "??BBBCCCDD-?"
    assert table.drawn(disk.guest()) == "??BBBCCCDD-?"


def test_an_unflushed_write_is_undefined_after_a_crash_and_the_rest_is_not() -> None:
    disk = seed_at_t0().write("E", (10,)).crash((10,))

    assert disk.table().drawn(disk.guest()) == "DABBBCCCDD?-"
    assert disk.table().drawn(disk.contains("base")) == "AAAA--------"


def test_a_crash_in_sync_spoils_the_base_but_not_the_guest() -> None:
    disk = seed_at_t0().active_commit_ready("base").crash()

    assert disk.mirror is None
    assert disk.table().drawn(disk.contains("base")) == "?A????????--"
    assert disk.guest() == seed_at_t0().guest()


def test_a_removed_file_takes_the_readability_of_those_above_with_it() -> None:
    disk = seed_at_t0().active_commit_ready("base").pivot().remove("sn1")

    assert [disk.readable(name) for name in disk.files()] == [True, False, False]
    row = disk.table().row("sn2")
    assert row is not None
    assert row.shows is None
    with pytest.raises(ValueError, match="sn2 cannot be read: its backing file sn1 was removed"):
        disk.shows("sn2")


def test_what_cannot_be_done_is_refused_in_words() -> None:
    disk = seed_at_t0()
    ready = disk.active_commit_ready("base")

    for act, words in (
        (lambda: disk.commit("cur", "base"), "cur is the active layer: that takes an active commit"),
        (lambda: disk.commit("base", "sn1"), "sn1 is not below base in the chain base <- sn1 <- sn2 <- cur"),
        (lambda: disk.commit("sn1", "other"), "other is not in the chain"),
        (lambda: disk.active_commit_ready("cur"), "cur is not below cur"),
        (lambda: ready.snapshot("new"), "a snapshot cannot begin while the mirror to base is awake"),
        (lambda: ready.remove("base"), "base is in use"),
        (lambda: disk.remove("sn1"), "sn1 is in use"),
        (lambda: disk.snapshot("sn1"), "the name sn1 is taken"),
        (disk.pivot, "there is no mirror"),
        (disk.abort, "there is no mirror"),
        (lambda: disk.pull("cur"), "cur is not below the active layer cur"),
        (lambda: disk.write("A", (12,)), "lie outside the disk"),
        (lambda: disk.write("A"), "neither a cell nor a range"),
        (lambda: disk.write("A", ranges=[(0, 512)]), "are not whole parts"),
        (lambda: disk.contains("other"), "there is no file other"),
        (lambda: Geometry(cluster_size=1000), "no multiple of the part size"),
    ):
        with pytest.raises(ValueError, match=words):
            act()


# the laws


@given(disks(least=2), st.data())
def test_no_job_and_no_snapshot_changes_what_the_guest_sees(disk: Content, data: st.DataObject) -> None:
    chain = disk.chain()
    base = data.draw(st.sampled_from(chain[:-1]))
    ready = disk.active_commit_ready(base)
    copied = disk.copy_ready("copy", shallow=data.draw(st.booleans()))

    for after in (disk.snapshot("new"), ready, ready.pivot(), ready.abort(), copied, copied.pivot(), copied.abort()):
        assert after.guest() == disk.guest()
    for after in (disk.pull(), disk.pull(base), ready.crash()):
        assert after.guest() == disk.guest()


@given(disks(least=3), st.data())
def test_a_commit_leaves_the_views_above_and_the_contents_of_all_but_the_base(
    disk: Content, data: st.DataObject
) -> None:
    chain = disk.chain()
    low = data.draw(st.integers(0, len(chain) - 3))
    top = data.draw(st.integers(low + 1, len(chain) - 2))
    after = disk.commit(chain[top], chain[low])

    assert after.chain() == chain[: low + 1] + chain[top + 1 :]
    assert after.files() == disk.files()
    for name in chain[top:]:
        assert after.shows(name) == disk.shows(name)
    for name in chain[:low]:
        assert after.shows(name) == disk.shows(name)
    for name in set(chain) - {chain[low]}:
        assert after.contains(name) == disk.contains(name)
    assert after.shows(chain[low]) == disk.shows(chain[top])


@given(disks(least=2), st.data())
def test_an_active_commit_writes_to_its_target_alone(disk: Content, data: st.DataObject) -> None:
    base = data.draw(st.sampled_from(disk.chain()[:-1]))
    ready = disk.active_commit_ready(base)

    assert ready.chain() == disk.chain()
    assert ready.pivot().chain() == disk.chain()[: disk.chain().index(base) + 1]
    assert ready.shows(base) == disk.guest()
    for name in set(disk.files()) - {base}:
        assert ready.contains(name) == disk.contains(name)


@given(disks(least=2), st.data())
def test_a_pull_leaves_every_file_below_untouched(disk: Content, data: st.DataObject) -> None:
    base = data.draw(st.sampled_from([None, *disk.chain()[:-1]]))
    after = disk.pull(base)

    for name in disk.files()[:-1]:
        assert after.contains(name) == disk.contains(name)
        assert after.shows(name) == disk.shows(name)
    if base is None:
        assert after.chain() == (disk.active,)


@given(disks(), st.data())
def test_a_write_changes_exactly_its_parts_of_the_view_and_the_active_file_alone(
    disk: Content, data: st.DataObject
) -> None:
    act = data.draw(guest_acts(disk.geometry))
    assume(act.name == "write")
    parts = disk.geometry.parts_of(ranges=act.ranges)
    after = done(disk, act)

    for part, (before, now) in enumerate(zip(disk.guest(), after.guest(), strict=True)):
        if part in parts:
            assert now == act.label
        else:
            assert now == before or (before is HOLE and now is ZERO)
    for name in set(disk.files()) - {disk.active}:
        assert after.contains(name) == disk.contains(name)


@given(disks(least=2), st.data())
def test_while_in_sync_the_target_shows_what_the_guest_sees_and_a_pivot_changes_nothing(
    disk: Content, data: st.DataObject
) -> None:
    ready = data.draw(
        st.sampled_from(
            [
                *(disk.active_commit_ready(base) for base in disk.chain()[:-1]),
                disk.copy_ready("copy"),
                disk.copy_ready("copy", shallow=True),
            ]
        )
    )
    for act in data.draw(st.lists(guest_acts(disk.geometry), max_size=4)):
        ready = done(ready, act)

    target = ready.mirror
    assert target is not None
    view = [ZERO if part is HOLE else part for part in ready.guest()]
    assert [ZERO if part is HOLE else part for part in ready.shows(target.target)] == view
    assert [ZERO if part is HOLE else part for part in ready.pivot().guest()] == view
    assert ready.abort().guest() == ready.guest()


@given(disks())
def test_every_cluster_is_allocated_as_a_whole(disk: Content) -> None:
    for name in disk.files():
        own = disk.contains(name)
        for part in range(disk.geometry.parts):
            around = [own[other] for other in disk.geometry.cluster_around(part)]
            if UNDEFINED not in around:
                assert len({value is HOLE for value in around}) == 1
